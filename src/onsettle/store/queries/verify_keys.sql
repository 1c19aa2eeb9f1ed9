-- Keys of mints that other programs queued or archived, and that belong to no payment of this chain.
select lower(tx_hash_bytes32) as key from mint_queue
where payment_id is null or token_address is null or chain_id is distinct from $1
union all
select lower(tx_hash_bytes32) from mint_history
