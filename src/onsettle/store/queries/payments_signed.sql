-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
update payment_queue p set status = 'processing', reason = 'signed', error = null,
    transaction_id = n.transaction_id, tx_hash = n.hash
from unnest($1::uuid[], $2::bigint[], $3::text[]) as n(id, transaction_id, hash)
where p.id = n.id and p.status || '' = 'pending'
