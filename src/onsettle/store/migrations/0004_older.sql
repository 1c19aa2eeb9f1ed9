-- Rows that another program writes: the older server, an operator, a script.

alter table payment_queue
    -- Its signature and content were not checked by intake: not sent before they are.
    add column if not exists unchecked boolean not null default false,
    -- Another program wrote the row or its status: mints of that program may belong to it.
    add column if not exists by_hand boolean not null default false,
    -- Why a row without a chain can't be taken over.
    add column if not exists refused text,
    -- The amount as the older server wrote it, where that is no whole number.
    add column if not exists older_amount text;

-- The older server's archive of mints; here so that it can go on after a step back.
create table if not exists mint_history (
    id uuid primary key default gen_random_uuid(),
    payer_address text not null,
    tx_hash_bytes32 text unique not null,
    mint_tx_hash text,
    payment_tx_hash text,
    token_address text,
    amount text,
    payment_type text,
    block_number bigint,
    created_at timestamptz default now(),
    completed_at timestamptz
);

create or replace function payment_queue_by_hand() returns trigger language plpgsql as $$
begin
    new.reason := 'manual';
    new.hold_until := null;
    new.by_hand := true;
    if new.status in ('pending', 'processing', 'sent', 'completed') then
        new.needs_lookup := true;
    end if;
    if new.status = 'pending' then
        new.refused := null;
    end if;
    return new;
end $$;

create function payment_queue_inserted_by_hand() returns trigger language plpgsql as $$
begin
    new.unchecked := true;
    new.by_hand := true;
    return new;
end $$;
create trigger payment_queue_inserted_by_hand before insert on payment_queue
    for each row when (coalesce(current_setting('onsettle.actor', true), '') = '')
    execute function payment_queue_inserted_by_hand();

-- Identities outlive a truncate as they outlive a delete.
create trigger payment_queue_identities_stay_whole before truncate on payment_queue
    for each statement execute function identities_stay();
