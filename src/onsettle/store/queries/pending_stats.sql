select count(*) as count, min(created_at) as oldest from (
    select created_at from payment_queue
    where chain_id = $1 and status = 'pending' and (hold_until is null or hold_until <= now())
        and not needs_lookup
    order by created_at limit $2) as few
