-- The fate of nonces that the chain has used. What they carried and did not land is looked up.
-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
with resolved as (
    update transactions t set state = n.state, mined_hash = n.hash, block_number = n.block_number,
        block_hash = n.block_hash
    from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[])
        as n(id, state, hash, block_number, block_hash)
    where t.id = n.id and t.state = 'live'
    returning t.id, t.payment_ids
)
update payment_queue p set needs_lookup = true, hold_until = null
from resolved t cross join lateral unnest(t.payment_ids) as carried(id)
where p.id = carried.id and p.transaction_id = t.id and p.block_number + 0 is null and not p.final
