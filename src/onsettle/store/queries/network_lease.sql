-- Take or renew the lease of the confirmer; nothing returned: somebody else holds it.
update networks set
    lease_holder = $2,
    lease_term = case when lease_holder = $2 and lease_until > now() then lease_term else lease_term + 1 end,
    lease_until = now() + make_interval(secs => $3)
where chain_id = $1 and (lease_holder is null or lease_holder = $2 or lease_until < now())
returning lease_term
