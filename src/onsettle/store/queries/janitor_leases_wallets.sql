-- Leases that nobody renewed. Only the name goes: the next holder takes a new term anyway.
update wallets set lease_holder = null, lease_until = null
where lease_until < now() - make_interval(secs => $1)
