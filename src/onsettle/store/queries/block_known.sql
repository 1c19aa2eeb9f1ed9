select hash from blocks where chain_id = $1 and number = $2
