-- Up to a thousand that were completed in the last five minutes. A block has its time in whole
-- seconds only.
with recent as (
    select p.created_at, p.sent_at, p.completed_at, b.time as block_time
    from (
        select payment_id from payment_events
        where at > now() - interval '5 minutes' and to_status = 'completed' limit 1000) as e
    join payment_queue p on p.id = e.payment_id
    left join blocks b on b.chain_id = p.chain_id and b.number = p.block_number
        and b.hash = p.block_hash)
select
    percentile_cont(array[0.5, 0.95, 0.99]) within group (
        order by extract(epoch from sent_at - created_at)) as accept_to_sent,
    percentile_cont(array[0.5, 0.95, 0.99]) within group (
        order by extract(epoch from completed_at - created_at)) as accept_to_completed,
    percentile_cont(array[0.5, 0.95, 0.99]) within group (
        order by greatest(0, extract(epoch from completed_at) - block_time)) as mined_to_completed
from recent
