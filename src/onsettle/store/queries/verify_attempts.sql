select a.hash, a.transaction_id, a.noop, a.raw
from attempts a
join transactions t on t.id = a.transaction_id
where t.chain_id = $1
