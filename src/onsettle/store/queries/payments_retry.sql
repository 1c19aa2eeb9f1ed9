-- An operator's retry: from the status that was judged, and only while nothing live carries it.
update payment_queue p set status = 'pending', reason = 'retry', error = null, rounds = 0,
    hold_until = null, needs_lookup = false
from unnest($1::uuid[], $2::text[]) as n(id, old)
where p.id = n.id and p.status = n.old and not p.final and p.block_number is null
    and not exists (
        select 1 from transactions t
        where t.chain_id = p.chain_id and t.state = 'live' and p.id = any(t.payment_ids))
returning p.id
