select exists (
    select 1 from payment_queue
    where chain_id is null and refused is null and status <> 'pending')
