select * from payment_queue where id = $1
