-- A refusal says what to do instead.

-- Its plans are kept from a call with few rows to one with thousands: never join them in a loop.
create or replace function payment_queue_updated() returns trigger language plpgsql
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
                when bad.from_status = 'completed' then
                    'It was charged: no retry may charge it again.'
                when bad.from_status in ('failed', 'confirmation_failed') then
                    'What failed is sent again from pending: set it to pending, or type'
                        ' `onsettle retry ' || bad.id || '`.'
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
