-- Messages, and whether what they tell ever happened.
select o.id, o.payment_id, o.channel, o.status, o.event <> 'payment.completed' or exists (
    select 1 from payment_events e where e.payment_id = o.payment_id and e.to_status = 'completed'
) as completed_once
from outbox o
join payment_queue p on p.id = o.payment_id
where p.chain_id = $1
