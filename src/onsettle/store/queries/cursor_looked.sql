update networks set looked_at = now(),
    following_since = case when $3 then coalesce(following_since, now()) end,
    finalized_number = greatest(finalized_number, $4)
where chain_id = $1 and lease_term = $2
