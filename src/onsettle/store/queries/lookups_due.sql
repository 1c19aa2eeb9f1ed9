select * from payment_queue
where chain_id = $1 and needs_lookup and (hold_until is null or hold_until <= now())
order by created_at limit $2
