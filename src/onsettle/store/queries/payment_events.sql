select from_status, to_status, reason, evidence, at from payment_events
where payment_id = $1 order by id
