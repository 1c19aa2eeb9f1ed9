-- A reorg dropped their block: the status stays, the evidence goes, mints are held back, and what
-- became of the authorization is looked up.
update payment_queue set block_number = null, block_hash = null, log_index = null,
    needs_lookup = true, hold_until = null
where chain_id = $1 and block_number > $2 and not final
returning id
