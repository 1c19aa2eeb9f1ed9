select * from networks where chain_id = $1
