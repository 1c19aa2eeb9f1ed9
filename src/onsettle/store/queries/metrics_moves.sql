-- Moves between two moments, by the status that they led to. $1 is the last event counted before.
select to_status, count(*) as count, max(id) as last from payment_events
where id > $1 and at <= $2 group by to_status
