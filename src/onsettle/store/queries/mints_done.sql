-- hasMinted is true at depth, whoever sent it. With the block at which that was read: a reorg below
-- it takes it back. $4: only while that block stands in our own view.
-- Found by id: the `|| ''` keeps out the indexes of unfinished rows, which look empty to statistics
-- that were made in a quiet hour.
update mint_queue m set status = 'completed', error_message = null, updated_at = now(),
    block_number = coalesce(m.block_number, n.block_number),
    block_hash = coalesce(m.block_hash, n.block_hash)
from unnest($1::uuid[], $2::bigint[], $3::text[]) as n(id, block_number, block_hash)
where m.id = n.id and m.status || '' <> 'completed'
    and (not $4::boolean or exists (
        select 1 from blocks b
        where b.chain_id = m.chain_id and b.number = n.block_number and b.hash = n.block_hash))
