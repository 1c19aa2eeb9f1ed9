-- Verdicts. Each names the status that it was judged from. That a failure is over because its time
-- is does not change why it failed.
update payment_queue p set status = n.status, final = n.final,
    reason = case when n.status = n.old and n.reason = 'expired'
        and p.reason not in ('timeout', 'manual') then p.reason else n.reason end,
    error = case when n.status = n.old and n.reason = 'expired'
        and p.reason not in ('timeout', 'manual') then p.error else n.error end,
    needs_lookup = false, hold_until = null, judged_block = case when n.final then $7::bigint end,
    rounds = p.rounds + case when n.status = 'pending' then 1 else 0 end,
    processed_at = coalesce(p.processed_at, now())
from unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[], $5::text[], $6::text[])
    as n(id, old, status, final, reason, error)
where p.id = n.id and p.status = n.old and not p.final and p.block_number is null
