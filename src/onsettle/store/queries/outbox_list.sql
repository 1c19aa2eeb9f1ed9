select id, payment_id, channel, event, status, tries, last_error, next_try_at, created_at,
    delivered_at
from outbox
where ($1::text is null or status = $1) and ($2::uuid is null or payment_id = $2)
order by created_at desc, id limit $3
