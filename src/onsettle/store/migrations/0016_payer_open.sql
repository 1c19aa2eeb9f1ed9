-- onsettle: no transaction
-- Payments that timed out, were failed by hand or were taken back by a reorg, and may still land:
-- they count as their payer's. It serves only who names one, and says `+ 0`, as its query does, so that
-- the index of open deadlines does not look like another way there.
create index concurrently if not exists payment_queue_payer_open
    on payment_queue (payer, chain_id)
    where status in ('completed', 'failed', 'confirmation_failed') and not final
        and block_number + 0 is null and transaction_id is not null and payer is not null;
