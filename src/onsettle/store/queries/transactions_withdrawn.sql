-- A reorg dropped their block: live again, and their bytes are offered again at once.
with withdrawn as (
    update transactions set state = 'live', mined_hash = null, block_number = null,
        block_hash = null
    where chain_id = $1 and block_number > $2
    returning id
)
update attempts a set tried_at = null
from withdrawn t where a.transaction_id = t.id
