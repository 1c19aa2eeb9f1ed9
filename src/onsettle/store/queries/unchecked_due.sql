-- What another program put in the queue and nobody has checked yet; numbers as they were written.
select id, chain_id, payment_type, token_address, payer, pay_to, amount, payment_token_address,
    authorization_nonce, valid_after, valid_before, metadata, quantity,
    "authorization" ->> 'from' as "from", "authorization" ->> 'to' as "to",
    "authorization" ->> 'value' as "value", "authorization" ->> 'validAfter' as "validAfter",
    "authorization" ->> 'validBefore' as "validBefore", "authorization" ->> 'nonce' as "nonce",
    "authorization" ->> 'signature' as "signature"
from payment_queue
where chain_id = $1 and unchecked and status = 'pending' and not needs_lookup
    and duplicate_of is null and (hold_until is null or hold_until <= now())
order by created_at limit $2
