select id, payment_id, unit, status, payer_address, token_address, tx_hash_bytes32, mint_tx_hash,
    retry_count, error_message, hold_until, created_at, updated_at
from mint_queue where ($1::text is null or status = $1)
order by created_at desc, unit limit $2
