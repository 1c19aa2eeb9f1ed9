-- Mints with their payment's state, and whether a transaction that mints them may still land.
select m.*, coalesce(p.status = 'completed' and p.block_number is not null, false) as paid,
    exists (select 1 from transactions t
        where t.chain_id = m.chain_id and t.state = 'live' and m.id = any(t.mint_ids)) as live
from mint_queue m
left join payment_queue p on p.id = m.payment_id
where m.id = any($1::uuid[])
order by m.created_at, m.unit
