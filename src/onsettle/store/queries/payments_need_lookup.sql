update payment_queue set needs_lookup = true, hold_until = null
where id = any($1::uuid[]) and not final and not needs_lookup
