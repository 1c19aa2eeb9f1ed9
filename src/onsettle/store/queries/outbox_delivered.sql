update outbox o set status = 'delivered', delivered_at = now(), last_error = null
from unnest($1::uuid[], $2::integer[]) as n(id, tries)
where o.id = n.id and o.tries = n.tries and o.status = 'pending'
