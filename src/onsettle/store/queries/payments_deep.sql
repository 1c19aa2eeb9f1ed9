-- Evidence that has reached its depth, a part at a time.
-- Found by id: the `|| ''` and `coalesce` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
with deep as (
    select id from payment_queue
    where chain_id = $1 and block_number is not null and block_number <= $2 and not final
        and status <> 'completed'
    order by block_number limit 5000
)
update payment_queue p set status = 'completed', reason = 'landed', error = null,
    completed_at = coalesce(p.completed_at, now())
where p.id = any(array(select id from deep)) and coalesce(p.block_number, $2 + 1) <= $2 and not p.final and p.status || '' <> 'completed'
returning p.id
