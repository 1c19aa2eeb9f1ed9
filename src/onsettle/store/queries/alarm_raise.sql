insert into alarms (kind, subject, message) values ($1, $2, $3)
on conflict (kind, subject) do update set message = excluded.message, seen_at = now(), cleared_at = null
