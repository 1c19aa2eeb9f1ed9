select id, wallet, nonce, kind, state, payment_ids, mint_ids, mined_hash from transactions
where chain_id = $1
order by wallet, nonce
