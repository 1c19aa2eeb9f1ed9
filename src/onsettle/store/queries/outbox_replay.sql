-- From the beginning of its schedule, under the same id.
update outbox set status = 'pending', tries = 0, next_try_at = now(), delivered_at = null
where status <> 'pending' and (id = any($1::uuid[]) or ($2::boolean and status = 'dead'))
returning id
