select
    (select count(*) from payment_queue where created_at > now() - interval '1 minute') as submitted,
    (select count(*) from payment_queue where status = 'completed'
        and coalesce(completed_at, processed_at) > now() - interval '1 minute') as completed,
    (select count(*) from payment_queue where status in ('failed', 'confirmation_failed')
        and coalesce(completed_at, processed_at) > now() - interval '1 minute') as failed
