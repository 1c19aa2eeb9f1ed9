-- Evidence, and the status where the block is deep enough already. Rows are locked in the order
-- of their ids: no two statements wait for each other.
with n as (
    select * from unnest($1::uuid[], $5::text[], $6::integer[]) as n(id, tx_hash, log_index)
), locked as materialized (
    select p.id, n.tx_hash, n.log_index from payment_queue p join n on n.id = p.id
    where not p.final order by p.id for update of p
)
update payment_queue p set
    tx_hash = n.tx_hash, block_number = $2, block_hash = $3, log_index = n.log_index,
    needs_lookup = false, hold_until = null,
    status = case when $4 then 'completed' else p.status end,
    reason = case when $4 then 'landed' else p.reason end,
    error = case when $4 then null else p.error end,
    processed_at = coalesce(p.processed_at, now()),
    completed_at = case when $4 then coalesce(p.completed_at, now()) else p.completed_at end
from locked n
where p.id = n.id
returning p.id
