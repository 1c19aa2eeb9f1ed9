update transactions set state = 'live', mined_hash = null, block_number = null, block_hash = null
where chain_id = $1 and block_number > $2
returning id
