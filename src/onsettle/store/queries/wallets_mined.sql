update wallets w set mined_nonce = n.count
from unnest($2::text[], $3::bigint[]) as n(address, count)
where w.chain_id = $1 and w.address = n.address and w.mined_nonce <> n.count
