select * from assets where chain_id = $1
