-- The guide's three tables under their own names, and what Onsettle adds beside them.
-- `create table if not exists` followed by `add column if not exists` serves a new database and one
-- made with the guide's older schema alike. Every added column has a default, so that an older
-- server can go on writing after a step back.

create table if not exists payment_queue (
    id uuid primary key default gen_random_uuid(),
    payment_type text not null,
    token_address text,
    "authorization" jsonb not null,
    payer text not null,
    amount numeric(78, 0) not null,
    payment_token_address text not null,
    metadata jsonb,
    status text not null default 'pending',
    tx_hash text,
    result jsonb,
    error text,
    created_at timestamptz not null default now(),
    processed_at timestamptz
);

alter table payment_queue
    add column if not exists chain_id bigint,
    add column if not exists pay_to text,
    add column if not exists authorization_nonce text,
    add column if not exists valid_after bigint,
    add column if not exists valid_before bigint,
    add column if not exists quantity integer not null default 1,
    add column if not exists final boolean not null default false,
    add column if not exists reason text,
    add column if not exists transaction_id bigint,
    add column if not exists rounds integer not null default 0,
    add column if not exists hold_until timestamptz,
    add column if not exists needs_lookup boolean not null default false,
    add column if not exists sent_at timestamptz,
    add column if not exists completed_at timestamptz,
    add column if not exists block_number bigint,
    add column if not exists block_hash text,
    add column if not exists log_index integer,
    -- Must have a transaction of its own, even where payments are packed.
    add column if not exists alone boolean not null default false,
    add column if not exists duplicate_of uuid;

create table if not exists mint_queue (
    id uuid primary key default gen_random_uuid(),
    payer_address text not null,
    tx_hash_bytes32 text unique not null,
    payment_tx_hash text,
    mint_tx_hash text,
    authorization_data jsonb,
    payment_type text not null default 'x402',
    token_address text,
    status text not null default 'pending',
    retry_count integer not null default 0,
    queue_position integer,
    error_message text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    processed_at timestamptz
);

alter table mint_queue
    add column if not exists chain_id bigint,
    add column if not exists payment_id uuid,
    add column if not exists unit integer,
    add column if not exists transaction_id bigint,
    add column if not exists alone boolean not null default false,
    add column if not exists hold_until timestamptz,
    add column if not exists block_number bigint,
    add column if not exists block_hash text;

create table if not exists system_settings (
    key text primary key,
    value text not null,
    description text,
    updated_at timestamptz not null default now()
);

-- One row per chain: which chain this is, how far the confirmer has followed it, who follows it.
create table networks (
    chain_id bigint primary key,
    name text not null,
    genesis_hash text not null,
    cursor_number bigint,
    cursor_hash text,
    cursor_time bigint,
    -- Set while the confirmer stands at the head; null from a gap until the head is reached again.
    following_since timestamptz,
    looked_at timestamptz,
    finalized_number bigint,
    base_fee numeric(78, 0),
    lease_holder text,
    lease_term bigint not null default 0,
    lease_until timestamptz
);

-- Token domains, read from the token once and kept.
create table assets (
    chain_id bigint not null,
    address text not null,
    name text not null,
    version text not null,
    decimals integer not null,
    separator bytea not null,
    primary key (chain_id, address)
);

-- The recent canonical blocks, as the confirmer saw them: what a reorg is measured against.
create table blocks (
    chain_id bigint not null,
    number bigint not null,
    hash text not null,
    parent_hash text not null,
    time bigint not null,
    primary key (chain_id, number)
);

create table wallets (
    chain_id bigint not null,
    address text not null,
    role text not null check (role in ('payment', 'mint')),
    -- The next nonce to give out; null until it has been read from the chain.
    next_nonce bigint,
    -- The chain's nonce count at the confirmer's cursor: below it, every nonce is used.
    mined_nonce bigint not null default 0,
    paused boolean not null default false,
    balance numeric(78, 0),
    -- What it must hold before it can send again; null while it has enough.
    needs_balance numeric(78, 0),
    note text,
    lease_holder text,
    lease_term bigint not null default 0,
    lease_until timestamptz,
    created_at timestamptz not null default now(),
    primary key (chain_id, address)
);

-- One nonce of one wallet. What a wallet owes the chain lives here, never in payment_queue.status.
create table transactions (
    id bigint generated always as identity primary key,
    chain_id bigint not null,
    wallet text not null,
    nonce bigint not null,
    kind text not null check (kind in ('payment', 'mint', 'noop')),
    payment_ids uuid[] not null default '{}',
    mint_ids uuid[] not null default '{}',
    -- live: may still land. mined / reverted: one of our attempts is in a block.
    -- replaced: the nonce was used by a transaction that is not ours.
    state text not null default 'live' check (state in ('live', 'mined', 'reverted', 'replaced')),
    mined_hash text,
    block_number bigint,
    block_hash text,
    created_at timestamptz not null default now(),
    unique (chain_id, wallet, nonce)
);

-- One signed version of a transaction. Insert-only but for what nodes answered to it.
create table attempts (
    hash text primary key,
    transaction_id bigint not null references transactions (id),
    noop boolean not null default false,
    raw bytea not null,
    max_fee numeric(78, 0) not null,
    priority_fee numeric(78, 0) not null,
    gas_limit bigint not null,
    created_at timestamptz not null default now(),
    tries integer not null default 0,
    tried_at timestamptz,
    -- When a node first had the bytes.
    sent_at timestamptz,
    answer text,
    answer_text text
);

create table payment_events (
    id bigint generated always as identity primary key,
    payment_id uuid not null,
    from_status text,
    to_status text not null,
    reason text,
    evidence jsonb,
    at timestamptz not null default clock_timestamp()
);

create table outbox (
    id uuid primary key,
    payment_id uuid not null,
    channel text not null check (channel in ('webhook', 'handler')),
    event text not null,
    version integer not null default 1,
    body jsonb not null,
    status text not null default 'pending' check (status in ('pending', 'delivered', 'dead')),
    tries integer not null default 0,
    next_try_at timestamptz not null default now(),
    last_error text,
    created_at timestamptz not null default now(),
    delivered_at timestamptz
);

create table workers (
    id text primary key,
    chains bigint[] not null default '{}',
    addresses text[] not null default '{}',
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now()
);

-- What an operator must know even if nobody was looking when it happened.
create table alarms (
    kind text not null,
    subject text not null,
    message text not null,
    raised_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    cleared_at timestamptz,
    primary key (kind, subject)
);

-- Autovacuum keeps up with rows that change four times in a few seconds.
alter table payment_queue set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
alter table transactions set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
alter table attempts set (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
alter table mint_queue set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
