-- The fence of every signing commit: this term, still valid, and the nonce sequence locked.
select next_nonce, mined_nonce, paused from wallets
where chain_id = $1 and address = $2 and lease_term = $3 and lease_holder = $4 and lease_until > now()
for update
