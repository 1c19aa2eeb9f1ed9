-- A search has not found these: they are looked up again, each a little later than last time.
-- Found by id: the `coalesce` keeps out the index of look-ups, which looks empty to statistics that
-- were made in a quiet hour.
update payment_queue p set hold_until = now() + make_interval(secs => n.pause)
from unnest($1::uuid[], $2::double precision[]) as n(id, pause)
where p.id = n.id and coalesce(p.needs_lookup, false) and not p.final
