-- Only while nothing live carries it.
-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
update payment_queue p set status = 'failed', reason = n.reason, error = n.error, final = n.final,
    processed_at = coalesce(p.processed_at, now())
from unnest($1::uuid[], $2::text[], $3::text[], $4::boolean[]) as n(id, reason, error, final)
where p.id = n.id and p.status || '' = 'pending'
    and not exists (select 1 from transactions t where t.id = p.transaction_id and t.state = 'live')
