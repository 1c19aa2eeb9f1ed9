-- Nonces of a wallet that stand in no row, between those that do.
with steps as (
    select wallet, nonce, lead(nonce) over (partition by wallet order by nonce) as next
    from transactions where chain_id = $1)
select wallet, nonce + 1 as first, next - 1 as last from steps where next > nonce + 1
order by wallet, nonce
