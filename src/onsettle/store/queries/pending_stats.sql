select count(*) as count, min(created_at) as oldest from (
    select created_at from payment_queue
    where chain_id = $1 and status = 'pending' and (hold_until is null or hold_until <= now())
        and not needs_lookup and not unchecked and duplicate_of is null
        and payment_token_address <> all($3::text[])
    order by created_at limit $2) as few
