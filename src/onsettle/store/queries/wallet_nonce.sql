-- Raised to the chain's count, never lowered.
update wallets set next_nonce = greatest(coalesce(next_nonce, 0), $4)
where chain_id = $1 and address = $2 and lease_term = $3
