-- Take a free or expired lease under a new term, or renew one's own term.
update wallets set
    lease_holder = $3,
    lease_term = case when lease_holder = $3 and lease_until > now() then lease_term else lease_term + 1 end,
    lease_until = now() + make_interval(secs => $4)
where chain_id = $1 and address = $2
    and (lease_holder is null or lease_until < now() or lease_holder = $3)
returning lease_term
