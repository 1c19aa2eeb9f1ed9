update transactions t set state = 'mined', mined_hash = a.hash, block_number = $2, block_hash = $3
from attempts a
where a.hash = any($1::text[]) and t.id = a.transaction_id and t.state <> 'mined'
