-- Live rows whose nonce the chain has used: something of ours or of others took it.
select t.* from transactions t
join wallets w on w.chain_id = t.chain_id and w.address = t.wallet
where t.chain_id = $1 and t.state = 'live' and t.nonce < w.mined_nonce
order by t.nonce limit $2
