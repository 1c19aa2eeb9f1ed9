-- How many are settled, by status: counting them again would read every one of them. Each statement
-- adds what it changed as rows of its own, so that nobody waits for a row that all write; their sum
-- is the count, and the janitor adds them up. What is not settled is counted from its own indexes.

create table if not exists status_counts (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('payment', 'mint')),
    status text not null,
    change bigint not null
);

create or replace function payment_queue_counted() returns trigger language plpgsql as $$
begin
    insert into status_counts (kind, status, change)
    select 'payment', status, sum(change) from (
        select status, 1 as change from rows_new
        union all
        select status, -1 from rows_old) as moved
    where status in ('completed', 'failed', 'confirmation_failed')
    group by status having sum(change) <> 0;
    return null;
end $$;

create or replace function mint_queue_counted() returns trigger language plpgsql as $$
begin
    if tg_op <> 'DELETE' then
        insert into status_counts (kind, status, change)
        select 'mint', status, count(*) from rows_new
        where status in ('completed', 'failed') group by status;
    end if;
    if tg_op <> 'INSERT' then
        insert into status_counts (kind, status, change)
        select 'mint', status, -count(*) from rows_old
        where status in ('completed', 'failed') group by status;
    end if;
    return null;
end $$;

-- Payments begin as pending, and are never deleted.
create or replace trigger payment_queue_counted after update on payment_queue
    referencing old table as rows_old new table as rows_new
    for each statement execute function payment_queue_counted();
create or replace trigger mint_queue_counted_inserts after insert on mint_queue
    referencing new table as rows_new
    for each statement execute function mint_queue_counted();
create or replace trigger mint_queue_counted_updates after update on mint_queue
    referencing old table as rows_old new table as rows_new
    for each statement execute function mint_queue_counted();
create or replace trigger mint_queue_counted_deletes after delete on mint_queue
    referencing old table as rows_old
    for each statement execute function mint_queue_counted();
