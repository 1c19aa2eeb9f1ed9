-- Transactions of this database that have been open for long, and how many wait for each.
select a.pid, a.application_name, a.state, left(a.query, 80) as query,
    extract(epoch from now() - a.xact_start)::integer as seconds,
    (select count(*) from pg_stat_activity w where a.pid = any(pg_blocking_pids(w.pid))) as waiting
from pg_stat_activity a
where a.datname = current_database() and a.pid <> pg_backend_pid()
    and a.backend_type = 'client backend' and a.xact_start < now() - make_interval(secs => $1)
order by a.xact_start
