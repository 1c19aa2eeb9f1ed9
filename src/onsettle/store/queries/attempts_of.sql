select hash, transaction_id, noop from attempts where transaction_id = any($1::bigint[])
