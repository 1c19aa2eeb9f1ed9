-- By its key alone: until statistics are there, the planner would take an index that holds every
-- mint of the chain, once for each event. The sum keeps those indexes out.
update mint_queue m set mint_tx_hash = n.tx_hash, block_number = $3, block_hash = $4,
    status = case when $5 then 'completed' else m.status end, error_message = null,
    updated_at = now(), processed_at = coalesce(m.processed_at, now())
from unnest($2::text[], $6::text[], $7::text[], $8::text[]) as n(key, tx_hash, token, minter)
where m.chain_id + 0 = $1 and m.tx_hash_bytes32 = n.key and m.token_address = n.token
    and m.payer_address = n.minter and m.block_number is null
