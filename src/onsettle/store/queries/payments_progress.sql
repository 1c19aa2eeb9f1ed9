select id, status, tx_hash, sent_at, completed_at from payment_queue where id = any($1::uuid[])
