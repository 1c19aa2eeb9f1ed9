-- `seconds` null: given up. Only if nobody else has taken it since.
update outbox o set last_error = n.error,
    status = case when n.seconds is null then 'dead' else 'pending' end,
    next_try_at = now() + make_interval(secs => coalesce(n.seconds, 0))
from unnest($1::uuid[], $2::integer[], $3::float8[], $4::text[]) as n(id, tries, seconds, error)
where o.id = n.id and o.tries = n.tries and o.status = 'pending'
