-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
update mint_queue m set status = 'processing', transaction_id = n.transaction_id,
    mint_tx_hash = n.hash, hold_until = null, updated_at = now(),
    processed_at = coalesce(m.processed_at, now())
from unnest($1::uuid[], $2::bigint[], $3::text[]) as n(id, transaction_id, hash)
where m.id = n.id and m.status || '' = 'pending'
