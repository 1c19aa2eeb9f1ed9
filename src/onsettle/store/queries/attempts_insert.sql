insert into attempts (hash, transaction_id, noop, raw, max_fee, priority_fee, gas_limit)
select * from unnest($1::text[], $2::bigint[], $3::boolean[], $4::bytea[], $5::numeric[],
    $6::numeric[], $7::bigint[])
