select count(*) as count, min(created_at) as oldest from (
    select m.created_at from mint_queue m
    join payment_queue p on p.id = m.payment_id
    where m.chain_id = $1 and m.status = 'pending' and p.status = 'completed'
        and (p.block_number is not null or p.final)
        and (m.hold_until is null or m.hold_until <= now())
    order by m.created_at limit $2) as few
