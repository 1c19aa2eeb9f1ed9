-- Oldest first; those near their deadline go ahead; nobody's rows are locked here.
(select * from payment_queue
    where chain_id = $1 and status = 'pending' and valid_before < $2
        and (hold_until is null or hold_until <= now()) and not needs_lookup
        and duplicate_of is null
    order by valid_before limit $3)
union all
(select * from payment_queue
    where chain_id = $1 and status = 'pending' and valid_before >= $2
        and (hold_until is null or hold_until <= now()) and not needs_lookup
        and duplicate_of is null
    order by created_at limit $3)
limit $3
