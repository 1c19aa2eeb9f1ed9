-- The lowest nonce that the chain still waits for, with its newest attempt.
select t.id, t.nonce, t.payment_ids, t.mint_ids, a.hash, a.raw, a.noop, a.max_fee,
    a.priority_fee, a.gas_limit, a.created_at as signed_at, a.sent_at, a.answer,
    coalesce(a.tried_at, a.created_at) as tried_at
from transactions t
join lateral (
    select * from attempts where transaction_id = t.id order by created_at desc, hash limit 1
) as a on true
where t.chain_id = $1 and t.wallet = $2 and t.state = 'live' and t.nonce >= $3
order by t.nonce limit 1
