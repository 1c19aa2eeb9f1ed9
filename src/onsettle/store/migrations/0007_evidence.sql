-- onsettle: no transaction
-- Evidence that waits for its depth. Few rows at any time, so that looking costs nothing even
-- where payment_confirmations is 1: it may have been more when the evidence was stored.

create index concurrently if not exists payment_queue_evidence
    on payment_queue (chain_id, block_number)
    where block_number is not null and not final and status <> 'completed';
