-- The tables of the older server, as its own migrations leave them.

create table payment_queue (
    id uuid primary key default gen_random_uuid(),
    payment_type varchar(10) not null check (payment_type in ('deploy', 'mint')),
    token_address varchar(42),
    "authorization" jsonb not null,
    payer varchar(42) not null,
    amount varchar(100) not null,
    payment_token_address varchar(42) not null,
    metadata jsonb,
    status varchar(20) not null default 'pending',
    tx_hash varchar(66),
    result jsonb,
    error text,
    created_at timestamp not null default now(),
    processed_at timestamp,
    constraint payment_queue_status_check
        check (status in ('pending', 'processing', 'completed', 'failed')),
    constraint payment_queue_mint_check
        check (payment_type <> 'mint' or token_address is not null)
);
create index idx_payment_queue_status on payment_queue (status, created_at);
create index idx_payment_queue_payer on payment_queue (payer);
create index idx_payment_queue_pending on payment_queue (created_at) where status = 'pending';

create table mint_queue (
    id uuid primary key default gen_random_uuid(),
    payer_address varchar(42) not null,
    tx_hash_bytes32 varchar(66) unique not null,
    payment_tx_hash varchar(66),
    mint_tx_hash varchar(66),
    authorization_data jsonb,
    payment_type varchar(20) default 'x402',
    token_address varchar(42),
    status varchar(20) default 'pending'
        check (status in ('pending', 'processing', 'completed', 'failed')),
    retry_count int default 0,
    queue_position int,
    error_message text,
    created_at timestamp default now(),
    updated_at timestamp default now(),
    processed_at timestamp
);
create index idx_mint_queue_status on mint_queue (status, created_at);

create table mint_history (
    id uuid primary key default gen_random_uuid(),
    payer_address varchar(42) not null,
    tx_hash_bytes32 varchar(66) unique not null,
    mint_tx_hash varchar(66),
    payment_tx_hash varchar(66),
    token_address varchar(42),
    amount varchar(78),
    payment_type varchar(20),
    block_number bigint,
    created_at timestamp default now(),
    completed_at timestamp
);

create table system_settings (
    key varchar(100) primary key,
    value text not null,
    description text,
    updated_at timestamp default now()
);
insert into system_settings (key, value) values
    ('payment_batch_interval_ms', '2000'),
    ('payment_batch_size', '10');
