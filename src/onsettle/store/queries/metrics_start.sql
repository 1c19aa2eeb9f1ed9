select now() - interval '2 seconds' as at, coalesce(max(id), 0) as event from payment_events
