-- Until one lands, what a mint shows is its newest attempt. Found by id.
update mint_queue m set mint_tx_hash = $3, updated_at = now()
where m.id = any($1::uuid[]) and m.transaction_id = $2 and m.block_number + 0 is null
    and m.status || '' = 'processing'
