-- A reorg dropped their block: the status stays, the evidence goes, mints are held back, and what
-- became of the authorization is looked up. A final failure that was judged there may yet land.
update payment_queue set block_number = null, block_hash = null, log_index = null,
    final = false, judged_block = null, needs_lookup = true, hold_until = null
where chain_id = $1
    and (block_number > $2 and not final or judged_block > $2)
returning id
