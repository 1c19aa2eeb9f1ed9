-- What is new about each watched payment: its place in the list, and events after the last one seen.
select w.place, p.status, p.final, e.id, e.from_status, e.to_status, e.reason, e.at
from unnest($1::uuid[], $2::bigint[]) with ordinality as w(payment_id, last, place)
join payment_queue p on p.id = w.payment_id
left join payment_events e on e.payment_id = w.payment_id and e.id > w.last
order by w.place, e.id
