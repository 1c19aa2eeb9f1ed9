update payment_queue set final = true
where chain_id = $1 and status = 'completed' and not final and block_number <= $2
