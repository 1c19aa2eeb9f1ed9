-- The life of a payment as data, the trigger that holds every writer to it, and its journal.

alter table payment_queue drop constraint if exists payment_queue_status_check;
alter table payment_queue add constraint payment_queue_status_check check (
    status in ('pending', 'processing', 'sent', 'completed', 'failed', 'confirmation_failed')
) not valid;

alter table mint_queue drop constraint if exists mint_queue_status_check;
alter table mint_queue add constraint mint_queue_status_check check (
    status in ('pending', 'processing', 'completed', 'failed')
) not valid;

-- Rows that are ours (chain known) hold addresses and nonces in one form only. Checked when these
-- columns are written: a table check would run for every change of a status too.
create function is_hex(value text, length integer) returns boolean
language sql immutable parallel safe
return length($1) = $2 and left($1, 2) = '0x' and ltrim(substr($1, 3), '0123456789abcdef') = '';

create function payment_queue_not_canonical() returns trigger language plpgsql as $$
begin
    raise exception 'payment %: addresses and nonces are stored in lower-case hex, with a window'
        ' and a quantity', new.id
        using errcode = 'check_violation', constraint = 'payment_queue_canonical';
end $$;
create trigger payment_queue_canonical before insert or update of chain_id, payer,
    payment_token_address, pay_to, authorization_nonce, token_address, valid_after, valid_before,
    quantity, duplicate_of on payment_queue
    for each row when (new.chain_id is not null and new.duplicate_of is null and not coalesce(
        is_hex(new.payer, 42)
        and is_hex(new.payment_token_address, 42)
        and is_hex(new.pay_to, 42)
        and is_hex(new.authorization_nonce, 66)
        and (new.token_address is null or is_hex(new.token_address, 42))
        and new.valid_after is not null and new.valid_before is not null
        and new.quantity >= 1, false))
    execute function payment_queue_not_canonical();

-- One short key for (chain, asset, payer, nonce): every change of a row writes its index again.
create function payment_identity(bigint, text, text, text) returns uuid
language sql immutable parallel safe
return md5($1::text || ':' || $2 || ':' || $3 || ':' || $4)::uuid;

create table payment_transitions (
    from_status text not null,
    to_status text not null,
    primary key (from_status, to_status)
);

insert into payment_transitions (from_status, to_status) values
    ('pending', 'processing'),
    ('pending', 'failed'),
    ('pending', 'completed'),
    ('processing', 'sent'),
    ('processing', 'completed'),
    ('processing', 'pending'),
    ('processing', 'confirmation_failed'),
    ('processing', 'failed'),
    ('sent', 'completed'),
    ('sent', 'pending'),
    ('sent', 'confirmation_failed'),
    ('sent', 'failed'),
    ('failed', 'completed'),
    ('failed', 'pending'),
    ('confirmation_failed', 'completed'),
    ('confirmation_failed', 'pending'),
    ('completed', 'confirmation_failed');

create function payment_queue_inserted() returns trigger language plpgsql as $$
begin
    if exists (select 1 from rows_new where status <> 'pending') then
        raise exception 'a payment starts as pending' using
            errcode = 'check_violation', constraint = 'payment_queue_transition';
    end if;
    insert into payment_events (payment_id, from_status, to_status, reason)
    select id, null, status, coalesce(reason, 'accepted') from rows_new;
    return null;
end $$;

-- Its plans are kept from a call with few rows to one with thousands: never join them in a loop.
create function payment_queue_updated() returns trigger language plpgsql
set enable_nestloop = off as $$
declare
    bad record;
begin
    select o.id, o.status as from_status, n.status as to_status, o.final into bad
    from rows_old o
    join rows_new n using (id)
    where n.status <> o.status and (
        o.final
        or not exists (
            select 1 from payment_transitions t
            where t.from_status = o.status and t.to_status = n.status)
        -- Bytes that can still land carry it: a second transaction would race the first.
        or (n.status = 'pending' and exists (
            select 1 from transactions t where t.id = o.transaction_id and t.state = 'live')))
    limit 1;
    if found then
        raise exception 'payment % can not go from % to %', bad.id, bad.from_status, bad.to_status
            using errcode = 'check_violation', constraint = 'payment_queue_transition',
            hint = case
                when bad.final then 'Its status is final: nothing on any chain can change it.'
                when bad.to_status = 'pending' then
                    'A transaction that carries it may still land, or it is settled.'
                else 'See the table payment_transitions.' end;
    end if;
    insert into payment_events (payment_id, from_status, to_status, reason, evidence)
    select n.id, o.status, n.status, n.reason,
        jsonb_strip_nulls(jsonb_build_object(
            'tx_hash', n.tx_hash, 'transaction', n.transaction_id,
            'block_number', n.block_number, 'block_hash', n.block_hash,
            'log_index', n.log_index, 'error', n.error))
    from rows_old o
    join rows_new n using (id)
    where n.status <> o.status;
    return null;
end $$;

-- Statement triggers with transition tables: one insert per statement, not one per row.
create trigger payment_queue_inserted after insert on payment_queue
    referencing new table as rows_new
    for each statement execute function payment_queue_inserted();
create trigger payment_queue_updated after update on payment_queue
    referencing old table as rows_old new table as rows_new
    for each statement execute function payment_queue_updated();

-- A status that the engine did not write was written by hand: the journal says so.
create function payment_queue_by_hand() returns trigger language plpgsql as $$
begin
    new.reason := 'manual';
    new.hold_until := null;
    if new.status = 'pending' then
        new.needs_lookup := true;
    end if;
    return new;
end $$;
create trigger payment_queue_by_hand before update of status on payment_queue
    for each row when (
        old.status is distinct from new.status
        and coalesce(current_setting('onsettle.actor', true), '') = '')
    execute function payment_queue_by_hand();

create function identities_stay() returns trigger language plpgsql as $$
begin
    raise exception 'payments are never deleted: their identities guard against a second charge'
        using errcode = 'check_violation', constraint = 'payment_queue_identity';
end $$;
create trigger payment_queue_identities_stay before delete on payment_queue
    for each statement execute function identities_stay();
