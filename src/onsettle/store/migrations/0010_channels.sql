-- onsettle: no transaction
-- Who wants to be told of completed payments: the webhook endpoint, handlers in Python programs.

create table if not exists channels (
    name text primary key check (name in ('webhook', 'handler')),
    -- Where it goes, as a hash: another address is another endpoint.
    target text not null,
    -- Why nothing is sent there any more. What completes meanwhile is kept as given up.
    disabled text,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

create index concurrently if not exists outbox_channel_due
    on outbox (channel, next_try_at)
    where status = 'pending';

create index concurrently if not exists outbox_dead
    on outbox (created_at)
    where status = 'dead';
