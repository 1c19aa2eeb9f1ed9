-- Each status by its own index; `oldest` is since when the first of them has been there.
select 'pending' as status, count(*) as count, min(created_at) as oldest
from payment_queue where status = 'pending'
union all
select 'processing', count(*), min(created_at) from payment_queue where status = 'processing'
union all
select 'sent', count(*), min(processed_at) from payment_queue where status = 'sent'
union all
select status, count(*), min(created_at) from payment_queue
where status in ('completed', 'failed', 'confirmation_failed') group by status
