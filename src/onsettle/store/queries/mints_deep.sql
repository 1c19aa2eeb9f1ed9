update mint_queue set status = 'completed', updated_at = now()
where chain_id = $1 and block_number is not null and block_number <= $2 and status <> 'completed'
