with recent as (
    select extract(epoch from sent_at - created_at) as to_sent,
        extract(epoch from completed_at - created_at) as to_completed, completed_at
    from payment_queue order by created_at desc limit 1000)
select percentile_cont(array[0.5, 0.95, 0.99]) within group (order by to_sent) as sent,
    percentile_cont(array[0.5, 0.95, 0.99]) within group (order by to_completed) as completed,
    count(*) filter (where completed_at > now() - interval '1 minute') as completed_last_minute
from recent
