select current_setting('server_version_num')::integer as version_num,
    'PostgreSQL ' || current_setting('server_version') as version,
    current_setting('fsync') as fsync,
    current_setting('full_page_writes') as full_page_writes,
    current_setting('synchronous_commit') as synchronous_commit,
    extract(epoch from clock_timestamp())::float8 as epoch,
    current_setting('max_connections')::integer as max_connections,
    (select count(*) from pg_stat_activity where backend_type = 'client backend') as connections
