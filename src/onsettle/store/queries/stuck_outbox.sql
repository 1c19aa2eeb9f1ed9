-- The oldest messages that were given up, each with the number of all.
select id, payment_id, channel, event, tries, last_error, created_at, count(*) over () as total
from outbox
where status = 'dead' order by created_at limit $1
