-- Rows of another program that can't be taken over, by reason.
select refused as problem, count(*) as count,
    count(*) filter (where status <> 'completed') as unfinished,
    count(*) filter (where reason = refused and status = 'failed') as failed
from payment_queue
where chain_id is null and refused is not null and refused <> 'awaits_network'
group by refused
