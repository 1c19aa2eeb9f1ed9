update payment_queue p set needs_lookup = n.again,
    hold_until = case when n.again then now() + make_interval(secs => n.pause) end
from unnest($1::uuid[], $2::boolean[], $3::double precision[]) as n(id, again, pause)
where p.id = n.id and (p.needs_lookup or n.again) and not p.final
