update mint_queue set block_number = null, block_hash = null, updated_at = now(),
    status = case when status = 'completed' then 'processing' else status end
where chain_id = $1 and block_number > $2
