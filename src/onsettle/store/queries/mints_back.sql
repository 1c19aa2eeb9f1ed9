-- Back to pending with back-off, alone next time.
update mint_queue m set status = 'pending', alone = true, retry_count = m.retry_count + 1,
    error_message = $2, updated_at = now(),
    hold_until = now() + make_interval(secs => least(300, 2 ^ least(m.retry_count, 8)))
where id = any($1::uuid[]) and status in ('pending', 'processing') and block_number is null
