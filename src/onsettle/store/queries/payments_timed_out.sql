-- A timer never turns unknown into fact: not final, still live, still watched.
update payment_queue p set status = 'confirmation_failed', reason = 'timeout', final = false,
    error = 'not seen on chain within payment_confirmation_timeout_ms; it is still watched and may complete'
from networks n
where p.chain_id = $1 and n.chain_id = p.chain_id and p.status in ('processing', 'sent')
    and p.block_number is null and n.following_since is not null
    and greatest(p.processed_at, p.sent_at, n.following_since) < now() - make_interval(secs => $2)
    and p.created_at < now() - make_interval(secs => $2)
