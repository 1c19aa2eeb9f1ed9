update networks set lease_holder = null, lease_until = null
where lease_until < now() - make_interval(secs => $1)
