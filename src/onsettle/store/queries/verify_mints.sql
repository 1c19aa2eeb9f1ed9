select id, payment_id, unit, status, token_address, payer_address,
    tx_hash_bytes32 as key, mint_tx_hash
from mint_queue
where chain_id = $1 and payment_id is not null and token_address is not null
