update wallets set lease_holder = null, lease_until = null
where chain_id = $1 and address = $2 and lease_holder = $3
