select count(*) from (select 1 from payment_queue where status = 'pending' limit $1) as few
