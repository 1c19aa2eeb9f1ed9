insert into outbox (id, payment_id, channel, event, body)
select n.id, n.payment_id, n.channel, 'payment.completed', jsonb_build_object('id', n.payment_id)
from unnest($1::uuid[], $2::uuid[], $3::text[]) as n(id, payment_id, channel)
on conflict (id) do nothing
