-- Nothing new on the chain, and that is known.
update networks set looked_at = now(),
    following_since = case
        when not $3 then null
        when looked_at > now() - interval '15 seconds' then coalesce(following_since, now())
        else now() end,
    finalized_number = greatest(finalized_number, $4)
where chain_id = $1 and lease_term = $2
