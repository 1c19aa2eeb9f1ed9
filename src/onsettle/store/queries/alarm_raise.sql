-- Whether it is new: what RETURNING looks up is the table as it was before.
insert into alarms as raised (kind, subject, message) values ($1, $2, $3)
on conflict (kind, subject) do update set message = excluded.message, seen_at = now(), cleared_at = null
returning not exists (
    select 1 from alarms a
    where a.kind = raised.kind and a.subject = raised.subject and a.cleared_at is null) as new
