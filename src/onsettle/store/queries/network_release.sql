update networks set lease_holder = null, lease_until = null
where chain_id = $1 and lease_holder = $2
