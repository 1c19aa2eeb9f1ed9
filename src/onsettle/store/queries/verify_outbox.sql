-- Messages, whether what they tell ever happened and whether it still stands; and those that
-- should be there and are not.
select o.id, o.payment_id, o.channel, o.event, o.version, o.status,
    o.event <> 'payment.completed' or exists (
    select 1 from payment_events e where e.payment_id = o.payment_id and e.to_status = 'completed'
) as completed_once,
    o.event <> 'payment.completed' or p.status = 'completed' as stands, p.status as payment_status
from outbox o
join payment_queue p on p.id = o.payment_id
where p.chain_id = $1
union all
-- A few seconds of grace: a completion may have begun before the channel was opened.
select null, p.id, c.name, null, null, 'missing', true, true, p.status
from payment_queue p
cross join channels c
where p.chain_id = $1 and p.status = 'completed'
    and p.completed_at > c.created_at + interval '5 seconds' and not exists (
        select 1 from outbox o where o.payment_id = p.id and o.channel = c.name)
