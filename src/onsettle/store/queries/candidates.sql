-- Oldest first; those near their deadline go ahead; nobody's rows are locked here.
(select id, payment_token_address, payer, pay_to, amount, authorization_nonce, valid_after,
    valid_before, "authorization" ->> 'signature' as signature, alone, rounds, created_at
from payment_queue
where chain_id = $1 and status = 'pending' and valid_before < $2
    and not final and block_number is null
    and (hold_until is null or hold_until <= now()) and not needs_lookup and not unchecked
    and duplicate_of is null and payment_token_address <> all($4::text[])
order by valid_before limit $3)
union all
(select id, payment_token_address, payer, pay_to, amount, authorization_nonce, valid_after,
    valid_before, "authorization" ->> 'signature' as signature, alone, rounds, created_at
from payment_queue
where chain_id = $1 and status = 'pending' and valid_before >= $2
    and (hold_until is null or hold_until <= now()) and not needs_lookup and not unchecked
    and duplicate_of is null and payment_token_address <> all($4::text[])
order by created_at limit $3)
limit $3
