-- The wallet's live transactions with their newest attempt, lowest nonce first.
select t.id, t.nonce, t.kind, t.payment_ids, t.mint_ids, t.created_at,
    a.hash, a.raw, a.noop, a.max_fee, a.priority_fee, a.gas_limit, a.created_at as signed_at,
    a.sent_at, a.tries, a.tried_at, a.answer
from transactions t
join lateral (
    select * from attempts where transaction_id = t.id order by created_at desc, hash limit 1
) as a on true
where t.chain_id = $1 and t.wallet = $2 and t.state = 'live'
order by t.nonce limit $3
