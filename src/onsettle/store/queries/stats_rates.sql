-- Events of the last minute; each names what happened to one payment.
select
    count(*) filter (where from_status is null) as submitted,
    count(*) filter (where to_status = 'completed') as completed,
    count(*) filter (where to_status in ('failed', 'confirmation_failed')) as failed
from payment_events where at > now() - interval '1 minute'
