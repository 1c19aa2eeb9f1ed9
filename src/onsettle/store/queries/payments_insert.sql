insert into payment_queue (id, chain_id, payment_type, token_address, "authorization", payer, amount,
    payment_token_address, metadata, pay_to, authorization_nonce, valid_after, valid_before,
    quantity, needs_lookup, alone, reason)
select id, chain_id, payment_type, token_address, "authorization", payer, amount,
    payment_token_address, metadata, pay_to, authorization_nonce, valid_after, valid_before,
    quantity, needs_lookup, alone, 'accepted'
from unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::jsonb[], $6::text[],
    $7::numeric[], $8::text[], $9::jsonb[], $10::text[], $11::text[], $12::bigint[],
    $13::bigint[], $14::integer[], $15::boolean[], $16::boolean[])
    as new(id, chain_id, payment_type, token_address, "authorization", payer, amount,
    payment_token_address, metadata, pay_to, authorization_nonce, valid_after, valid_before,
    quantity, needs_lookup, alone)
on conflict do nothing
returning id
