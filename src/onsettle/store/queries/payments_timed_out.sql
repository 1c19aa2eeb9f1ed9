-- A timer never turns unknown into fact: not final, still live, still watched.
-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
with late as (
    select p.id from payment_queue p, networks n
    where n.chain_id = $1 and p.chain_id = n.chain_id and p.status = 'sent'
        and p.block_number is null and n.following_since is not null
        and greatest(p.processed_at, p.sent_at, n.following_since)
            < now() - make_interval(secs => $2)
    union all
    select p.id from payment_queue p, networks n
    where n.chain_id = $1 and p.chain_id = n.chain_id and p.status = 'processing'
        and p.block_number is null and n.following_since is not null
        and greatest(p.created_at, p.processed_at, n.following_since)
            < now() - make_interval(secs => $2)
)
update payment_queue p set status = 'confirmation_failed', reason = 'timeout', final = false,
    error = 'not seen on chain within payment_confirmation_timeout_ms; it is still watched and may complete'
from (select id from late limit 5000) as late
where p.id = late.id and p.status || '' in ('processing', 'sent') and p.block_number + 0 is null
