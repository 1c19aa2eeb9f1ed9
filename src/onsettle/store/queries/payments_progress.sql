select id, status, tx_hash, block_number, reason, error, sent_at, completed_at
from payment_queue where id = any($1::uuid[])
