update payment_queue p set status = 'sent', reason = 'broadcast', sent_at = now(),
    processed_at = coalesce(p.processed_at, now())
from transactions t
join attempts a on a.transaction_id = t.id
where a.hash = any($1::text[]) and not a.noop and t.state in ('live', 'mined')
    and p.id = any(t.payment_ids) and p.transaction_id = t.id and p.status = 'processing'
