select mined_hash, wallet, nonce, kind from transactions
where chain_id = $1 and mined_hash is not null
