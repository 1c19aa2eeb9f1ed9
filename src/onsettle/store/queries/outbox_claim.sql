-- Taken for as long as a delivery may last: whoever dies meanwhile has told nobody, or told twice.
update outbox o set tries = o.tries + 1, next_try_at = now() + make_interval(secs => $3)
from (
    select id from outbox
    where channel = $1 and status = 'pending' and next_try_at <= now()
    order by next_try_at limit $2
    for update skip locked) as due
where o.id = due.id
returning o.id, o.payment_id, o.event, o.body, o.tries
