-- Evidence, and the status where the block is deep enough already. Rows are locked in the order
-- of their ids: no two statements wait for each other.
-- A block settles thousands. Statistics of a quiet hour say that every payment is final, and a
-- planner that expects one row of them compares each with each: it can't look into a `case`.
with locked as materialized (
    select p.id from payment_queue p
    where p.id = any($1::uuid[]) and case when p.final then false else true end
    order by p.id for update of p
)
update payment_queue p set
    tx_hash = n.tx_hash, block_number = $2, block_hash = $3, log_index = n.log_index,
    needs_lookup = false, hold_until = null,
    status = case when $4 then 'completed' else p.status end,
    reason = case when $4 then 'landed' else p.reason end,
    error = case when $4 then null else p.error end,
    processed_at = coalesce(p.processed_at, now()),
    completed_at = case when $4 then coalesce(p.completed_at, now()) else p.completed_at end
from unnest($1::uuid[], $5::text[], $6::integer[]) as n(id, tx_hash, log_index)
where p.id = any($1::uuid[]) and p.id = n.id and case when p.final then false else true end
    and (select count(*) from locked) > 0
returning p.id
