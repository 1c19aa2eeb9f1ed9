-- One process takes over at a time, so that two copies of an authorization meet.
select pg_try_advisory_xact_lock(40213)
