-- Opened again under another address it is another endpoint, and not disabled.
insert into channels (name, target) values ($1, $2)
on conflict (name) do update set target = excluded.target, updated_at = now(),
    disabled = case when channels.target = excluded.target then channels.disabled end
returning disabled
