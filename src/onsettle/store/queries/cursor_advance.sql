-- Compare-and-set: only the holder of this term, only from the block it stood on. At the head, after a
-- gap of $8 seconds in the looking, the clock of the confirmation timeout starts again.
update networks set
    cursor_number = $4, cursor_hash = $5, cursor_time = $6, base_fee = $7, looked_at = now(),
    following_since = case
        when $8::float8 is null then null
        when looked_at > now() - make_interval(secs => $8) then coalesce(following_since, now())
        else now() end,
    finalized_number = greatest(finalized_number, $9)
where chain_id = $1 and lease_term = $2 and cursor_hash is not distinct from $3
