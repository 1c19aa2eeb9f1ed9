-- Transactions of which a log was seen in this block. Payments in them that did not land with it
-- (the others of a pack did) are looked up.
-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
with mined as (
    update transactions t set state = 'mined', mined_hash = a.hash, block_number = $2,
        block_hash = $3
    from attempts a
    where a.hash = any($1::text[]) and t.id = a.transaction_id
        and (t.state <> 'mined' or t.block_hash is distinct from $3)
    returning t.id, t.payment_ids
)
update payment_queue p set needs_lookup = true, hold_until = null
from mined t cross join lateral unnest(t.payment_ids) as carried(id)
where p.id = carried.id and p.transaction_id = t.id and p.block_number + 0 is null and not p.final
