-- onsettle: no transaction
-- Built without holding writers up. Hot queries see unfinished rows only.

create unique index concurrently if not exists payment_queue_identity
    on payment_queue (
        payment_identity(chain_id, payment_token_address, payer, authorization_nonce))
    where chain_id is not null and duplicate_of is null;

create index concurrently if not exists payment_queue_pending
    on payment_queue (chain_id, created_at)
    where status = 'pending';

create index concurrently if not exists payment_queue_unfinished_payer
    on payment_queue (chain_id, payer, status)
    where status in ('pending', 'processing', 'sent');

create index concurrently if not exists payment_queue_open_deadline
    on payment_queue (chain_id, valid_before)
    where not final and block_number is null;

create index concurrently if not exists payment_queue_landed
    on payment_queue (chain_id, block_number)
    where block_number is not null and not final;

create index concurrently if not exists payment_queue_lookup
    on payment_queue (chain_id, hold_until)
    where needs_lookup;

create index concurrently if not exists idx_payment_queue_sent_processed
    on payment_queue (status, processed_at)
    where status = 'sent';

create index concurrently if not exists payment_queue_processing
    on payment_queue (chain_id, created_at)
    where status = 'processing';

create index concurrently if not exists payment_queue_payer
    on payment_queue (payer, created_at)
    where status in ('completed', 'failed', 'confirmation_failed');

create index concurrently if not exists mint_queue_pending
    on mint_queue (chain_id, created_at)
    where status = 'pending';

create index concurrently if not exists mint_queue_payment
    on mint_queue (payment_id, unit);

create index concurrently if not exists mint_queue_landed
    on mint_queue (chain_id, block_number)
    where block_number is not null and status <> 'completed';

create index concurrently if not exists mint_queue_processing
    on mint_queue (chain_id)
    where status = 'processing';

create index concurrently if not exists transactions_live
    on transactions (chain_id, wallet, nonce)
    where state = 'live';

create index concurrently if not exists transactions_block
    on transactions (chain_id, block_number)
    where block_number is not null;

create index concurrently if not exists attempts_transaction
    on attempts (transaction_id);

create index concurrently if not exists payment_events_payment
    on payment_events (payment_id, id);

create index concurrently if not exists payment_events_at
    on payment_events (at);

create index concurrently if not exists outbox_due
    on outbox (next_try_at)
    where status = 'pending';

create index concurrently if not exists outbox_payment
    on outbox (payment_id);
