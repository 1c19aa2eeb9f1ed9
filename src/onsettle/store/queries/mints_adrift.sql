-- Signed mints that no live transaction carries any more and no log has shown.
select m.id, m.token_address, m.tx_hash_bytes32 from mint_queue m
where m.chain_id = $1 and m.status = 'processing' and m.block_number is null
    and (m.hold_until is null or m.hold_until <= now())
    and not exists (select 1 from transactions t where t.id = m.transaction_id and t.state = 'live')
limit $2
