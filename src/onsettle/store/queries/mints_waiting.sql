-- Payments are found by id, mint by mint: statistics of a moment ago would have every completed one
-- read instead, at each tick of the wallet.
select count(*) as count, min(created_at) as oldest from (
    select m.created_at from mint_queue m
    cross join lateral (
        select 1 from payment_queue p
        where p.id = m.payment_id and p.status || '' = 'completed'
            and (p.block_number + 0 is not null or p.final) offset 0) as paid
    where m.chain_id = $1 and m.status = 'pending'
        and (m.hold_until is null or m.hold_until <= now())
    order by m.created_at limit $2) as few
