update wallets set balance = $3, needs_balance = $4, note = $5
where chain_id = $1 and address = $2
