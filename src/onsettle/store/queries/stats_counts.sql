-- What is open by its own index, with since when the first of them has been there; what is settled
-- from its running count.
select 'pending' as status, count(*) as count, min(created_at) as oldest
from payment_queue where status = 'pending'
union all
select 'processing', count(*), min(created_at) from payment_queue where status = 'processing'
union all
select 'sent', count(*), min(processed_at) from payment_queue where status = 'sent'
union all
select status, sum(change)::bigint, null from status_counts where kind = 'payment' group by status
