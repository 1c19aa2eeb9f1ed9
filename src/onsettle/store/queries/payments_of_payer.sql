-- One payer's, the newest first: finished ones by their index, unfinished ones (few) by theirs.
with page as (
    (select id from payment_queue
    where payer = $5 and status in ('completed', 'failed', 'confirmation_failed')
        and ($1::text is null or status = $1)
        and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
    order by created_at desc, id desc limit $4)
    union all
    (select p.id
    from (select chain_id from networks union all select null) as n
    join payment_queue p on p.chain_id is not distinct from n.chain_id
    where p.payer = $5 and p.status in ('pending', 'processing', 'sent')
        and ($1::text is null or p.status = $1)
        and ($2::timestamptz is null or (p.created_at, p.id) < ($2, $3::uuid))
    order by p.created_at desc, p.id desc limit $4)
)
select p.* from page join payment_queue p using (id)
order by p.created_at desc, p.id desc limit $4
