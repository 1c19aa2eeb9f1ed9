-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
update payment_queue p set hold_until = now() + make_interval(secs => n.seconds), error = n.error
from unnest($1::uuid[], $2::float8[], $3::text[]) as n(id, seconds, error)
where p.id = n.id and p.status || '' = 'pending'
