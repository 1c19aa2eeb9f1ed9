-- Tried again later: nothing was found out about them. Found by id: the `|| ''` keeps out the
-- indexes of unfinished rows, which look empty to statistics that were made in a quiet hour.
update mint_queue m set retry_count = m.retry_count + 1, error_message = $2, updated_at = now(),
    hold_until = now() + make_interval(secs => least(300, 2 ^ least(m.retry_count, 8)))
where id = any($1::uuid[]) and status || '' = 'pending'
