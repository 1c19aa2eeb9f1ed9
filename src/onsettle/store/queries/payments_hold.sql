update payment_queue p set hold_until = now() + make_interval(secs => n.seconds), error = n.error
from unnest($1::uuid[], $2::float8[], $3::text[]) as n(id, seconds, error)
where p.id = n.id and p.status = 'pending'
