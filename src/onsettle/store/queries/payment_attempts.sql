select a.hash, t.nonce, t.wallet, t.state, a.max_fee, a.priority_fee, a.sent_at, a.created_at, a.noop, a.answer
from transactions t join attempts a on a.transaction_id = t.id
where t.id = any(
    select (e.evidence ->> 'transaction')::bigint from payment_events e
    where e.payment_id = $1 and e.evidence ? 'transaction')
order by a.created_at
