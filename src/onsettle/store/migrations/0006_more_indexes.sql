-- onsettle: no transaction

create index concurrently if not exists mint_queue_block
    on mint_queue (chain_id, block_number)
    where block_number is not null;

-- What is to be taken over from other programs, and what of it is to be checked.
create index concurrently if not exists payment_queue_unadopted
    on payment_queue (status, created_at)
    where chain_id is null and refused is null;

create index concurrently if not exists payment_queue_unchecked
    on payment_queue (chain_id, created_at)
    where unchecked and status = 'pending';

create index concurrently if not exists mint_queue_unadopted
    on mint_queue (lower(payment_tx_hash))
    where chain_id is null;

create index concurrently if not exists mint_history_payment
    on mint_history (lower(payment_tx_hash));

create index concurrently if not exists payment_queue_unadopted_nonce
    on payment_queue (lower("authorization" ->> 'nonce'))
    where chain_id is null and refused is null;

create index concurrently if not exists mint_queue_unadopted_open
    on mint_queue (created_at)
    where chain_id is null and status <> 'completed';

create index concurrently if not exists payment_queue_refused
    on payment_queue (refused)
    where refused is not null;
