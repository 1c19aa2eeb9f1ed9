-- hasMinted is true at depth, whoever sent it.
update mint_queue set status = 'completed', error_message = null, updated_at = now()
where id = any($1::uuid[]) and status <> 'completed'
