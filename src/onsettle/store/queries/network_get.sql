-- `followed`: whether a worker holds its lease.
select *, coalesce(lease_until > now(), false) as followed from networks where chain_id = $1
