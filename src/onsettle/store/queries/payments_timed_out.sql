-- A timer never turns unknown into fact: not final, still live, still watched. It counts from the
-- signing to the last look at the head: how long a payment waited before is not the chain's fault.
-- Found by id, from an array that is made once: joined to the part that finds them, statistics of a
-- quiet hour make the planner look for what is late again for each payment of the table. The `|| ''`
-- and `+ 0` keep out the indexes of unfinished rows, which look empty to such statistics.
-- The first condition on a time is what the index can tell: what was sent a moment ago is not read.
-- The last one reads a transaction for each that all others leave.
with late as (
    select p.id from payment_queue p, networks n
    where n.chain_id = $1 and p.chain_id = n.chain_id and p.status = 'sent'
        and p.block_number is null and n.following_since is not null
        and p.processed_at < now() - make_interval(secs => $2)
        and greatest(p.processed_at, p.sent_at, n.following_since)
            < n.looked_at - make_interval(secs => $2)
        and coalesce((select t.created_at from transactions t where t.id = p.transaction_id),
            '-infinity') < n.looked_at - make_interval(secs => $2)
    union all
    select p.id from payment_queue p, networks n
    where n.chain_id = $1 and p.chain_id = n.chain_id and p.status = 'sent'
        and p.block_number is null and n.following_since is not null
        and p.processed_at is null
        and greatest(p.processed_at, p.sent_at, n.following_since)
            < n.looked_at - make_interval(secs => $2)
        and coalesce((select t.created_at from transactions t where t.id = p.transaction_id),
            '-infinity') < n.looked_at - make_interval(secs => $2)
    union all
    select p.id from payment_queue p, networks n
    where n.chain_id = $1 and p.chain_id = n.chain_id and p.status = 'processing'
        and p.block_number is null and n.following_since is not null
        and p.created_at < now() - make_interval(secs => $2)
        and greatest(p.created_at, p.processed_at, n.following_since)
            < n.looked_at - make_interval(secs => $2)
        and coalesce((select t.created_at from transactions t where t.id = p.transaction_id),
            '-infinity') < n.looked_at - make_interval(secs => $2)
)
update payment_queue p set status = 'confirmation_failed', reason = 'timeout', final = false,
    error = 'not seen on chain within payment_confirmation_timeout_ms; it is still watched and may complete'
where p.id = any(array(select id from late limit 5000)) and p.status || '' in ('processing', 'sent') and p.block_number + 0 is null
