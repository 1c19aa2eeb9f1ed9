select id, unit, status, mint_tx_hash, tx_hash_bytes32, retry_count, error_message from mint_queue
where payment_id = $1 order by unit
