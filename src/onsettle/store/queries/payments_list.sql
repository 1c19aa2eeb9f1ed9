-- The newest first, each status by its own index.
with page as (
    (select id, created_at from payment_queue
    where status = 'completed' and ($1::text is null or $1 = 'completed')
        and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
    order by created_at desc, id desc limit $4)
    union all
    (select id, created_at from payment_queue
    where status = 'failed' and ($1::text is null or $1 = 'failed')
        and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
    order by created_at desc, id desc limit $4)
    union all
    (select id, created_at from payment_queue
    where status = 'confirmation_failed' and ($1::text is null or $1 = 'confirmation_failed')
        and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
    order by created_at desc, id desc limit $4)
    union all
    (select p.id, p.created_at
    from (select chain_id from networks union all select null) as n
    cross join lateral (
        select id, created_at from payment_queue
        where status = 'pending' and chain_id is not distinct from n.chain_id
            and ($1::text is null or $1 = 'pending')
            and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
        order by created_at desc, id desc limit $4) as p)
    union all
    (select id, created_at from payment_queue
    where status in ('processing', 'sent') and ($1::text is null or $1 = status)
        and ($2::timestamptz is null or (created_at, id) < ($2, $3::uuid))
    order by created_at desc, id desc limit $4)
)
select p.* from page join payment_queue p using (id)
order by p.created_at desc, p.id desc limit $4
