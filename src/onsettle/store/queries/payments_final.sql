-- Blocks up to this one are final: so is what rests on them.
update payment_queue set final = true, judged_block = null
where chain_id = $1
    and (block_number <= $2 and status = 'completed' and not final or judged_block <= $2)
