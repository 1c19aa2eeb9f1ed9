-- The token says that it has minted these: judged at depth by the resolver, tried again if not.
update mint_queue set status = 'processing', transaction_id = null, updated_at = now(),
    hold_until = now() + interval '1 second'
where id = any($1::uuid[]) and status = 'pending'
