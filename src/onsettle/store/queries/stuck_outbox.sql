select id, payment_id, channel, event, tries, last_error, created_at from outbox
where status = 'dead' order by created_at limit $1
