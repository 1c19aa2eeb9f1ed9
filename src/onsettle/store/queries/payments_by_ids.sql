select * from payment_queue where id = any($1::uuid[])
