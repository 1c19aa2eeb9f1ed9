-- Blocks up to this one are final: so is what rests on them. A part at a time: after a long stop,
-- a million may become final at once.
with deep as (
    (select id from payment_queue
    where chain_id = $1 and block_number is not null and not final and status = 'completed'
        and block_number <= $2
    order by block_number limit 5000)
    union
    (select id from payment_queue
    where chain_id = $1 and judged_block <= $2
    order by judged_block limit 5000)
)
update payment_queue p set final = true, judged_block = null
where p.id = any(array(select id from deep))
    and (p.block_number <= $2 and p.status = 'completed' and not p.final or p.judged_block <= $2)
