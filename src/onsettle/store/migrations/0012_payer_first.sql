-- onsettle: no transaction
-- To statistics of a quiet hour an index of all unfinished payments looks like the cheapest way to
-- any of them: behind much history the planner read and sorted a whole backlog for each page of it.
-- Of this one it knows that it serves only who names a payer: nobody else says that it is not null.
create index concurrently if not exists payment_queue_payer_unfinished
    on payment_queue (payer, chain_id, status)
    where status in ('pending', 'processing', 'sent') and payer is not null;

drop index concurrently if exists payment_queue_unfinished_payer;

-- The same of mints: what waits is found by its own index, oldest first. What is settled is only
-- counted, and listed.
create index concurrently if not exists mint_queue_settled
    on mint_queue (status, created_at)
    where status in ('completed', 'failed');

drop index concurrently if exists mint_queue_status;
