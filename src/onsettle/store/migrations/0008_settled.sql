-- onsettle: no transaction
-- Counts, rates and latencies of what is settled, without reading a million rows for each look.

create index concurrently if not exists payment_queue_settled
    on payment_queue (status, (coalesce(completed_at, processed_at)))
    where status in ('completed', 'failed', 'confirmation_failed');

create index concurrently if not exists mint_queue_status
    on mint_queue (status);
