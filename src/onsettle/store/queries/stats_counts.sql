select status, count(*) as count, min(created_at) as oldest from payment_queue group by status
