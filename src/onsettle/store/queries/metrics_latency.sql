-- Of the payments completed between two moments: how many fall into each bucket, and their sum.
with settled as (
    select extract(epoch from p.sent_at - p.created_at)::float8 as accept_to_sent,
        extract(epoch from p.completed_at - p.created_at)::float8 as accept_to_completed,
        greatest(0, extract(epoch from p.completed_at) - b.time)::float8 as mined_to_completed
    from payment_events e
    join payment_queue p on p.id = e.payment_id
    left join blocks b on b.chain_id = p.chain_id and b.number = p.block_number
        and b.hash = p.block_hash
    where e.to_status = 'completed' and e.at > $1 and e.at <= $2),
measured as (
    select 'accept_to_sent' as name, accept_to_sent as seconds from settled
    union all select 'accept_to_completed', accept_to_completed from settled
    union all select 'mined_to_completed', mined_to_completed from settled)
select name, width_bucket(seconds, $3::float8[]) as bucket, count(*) as count, sum(seconds) as sum
from measured where seconds is not null group by name, bucket
