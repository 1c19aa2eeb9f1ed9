-- Evidence that has reached its depth.
update payment_queue set status = 'completed', reason = 'landed', error = null,
    completed_at = coalesce(completed_at, now())
where chain_id = $1 and block_number <= $2 and block_number is not null and not final
    and status <> 'completed'
returning id
