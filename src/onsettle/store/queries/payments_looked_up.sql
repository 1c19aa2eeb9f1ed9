update payment_queue p set needs_lookup = n.again,
    hold_until = case when n.again then now() + interval '2 seconds' end
from unnest($1::uuid[], $2::boolean[]) as n(id, again)
where p.id = n.id and (p.needs_lookup or n.again) and not p.final
