-- The same for what failed: the newest payments that did, with the line that says so.
select e.id, e.at, p.id as payment_id, e.from_status, e.to_status, e.reason,
    e.evidence ->> 'tx_hash' as tx_hash, e.evidence ->> 'error' as error
from (
    (select id, status from payment_queue
        where status = 'failed' order by created_at desc limit $1)
    union all
    (select id, status from payment_queue
        where status = 'confirmation_failed' order by created_at desc limit $1)) as p
join lateral (
    select * from payment_events
    where payment_id = p.id and to_status = p.status order by id desc limit 1) as e on true
where e.id > $2 and e.id <> all($3::bigint[])
order by e.id
