-- Mints seen in one block; a mint is known by its key.
update mint_queue m set mint_tx_hash = n.tx_hash, block_number = $3, block_hash = $4,
    status = case when $5 then 'completed' else m.status end, error_message = null,
    updated_at = now(), processed_at = coalesce(m.processed_at, now())
from (
    select m.id, n.tx_hash
    from unnest($2::text[], $6::text[], $7::text[], $8::text[]) as n(key, tx_hash, token, minter)
    cross join lateral (
        select id, chain_id, token_address, payer_address, block_number from mint_queue m
        where m.tx_hash_bytes32 = n.key limit 1) as m
    where m.chain_id = $1 and m.token_address = n.token and m.payer_address = n.minter
        and m.block_number is null) as n
where m.id = n.id and m.block_number is null
