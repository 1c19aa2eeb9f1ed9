-- onsettle: no transaction
-- Counts of what is settled from the index alone.

create index concurrently if not exists payment_queue_settled
    on payment_queue (status, created_at)
    where status in ('completed', 'failed', 'confirmation_failed');

create index concurrently if not exists mint_queue_status
    on mint_queue (status);

create index concurrently if not exists outbox_open
    on outbox (status, created_at)
    where status <> 'delivered';
