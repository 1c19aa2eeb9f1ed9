update wallets set next_nonce = $4
where chain_id = $1 and address = $2 and lease_term = $3
