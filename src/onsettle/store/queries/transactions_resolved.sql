update transactions t set state = n.state, mined_hash = n.hash, block_number = n.block_number,
    block_hash = n.block_hash
from unnest($1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::text[])
    as n(id, state, hash, block_number, block_hash)
where t.id = n.id and t.state = 'live'
