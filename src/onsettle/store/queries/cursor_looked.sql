-- Nothing new on the chain, and that is known. After a gap of $4 seconds in the looking, the clock of
-- the confirmation timeout starts again.
update networks set looked_at = now(),
    following_since = case
        when looked_at > now() - make_interval(secs => $4) then coalesce(following_since, now())
        else now() end,
    finalized_number = greatest(finalized_number, $3)
where chain_id = $1 and lease_term = $2
