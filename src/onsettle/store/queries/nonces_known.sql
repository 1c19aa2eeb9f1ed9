select nonce from transactions where chain_id = $1 and wallet = $2 and nonce >= $3 and nonce < $4
