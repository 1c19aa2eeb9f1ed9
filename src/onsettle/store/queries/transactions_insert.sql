-- The ids of each row arrive as one text, comma-separated: arrays of arrays must be rectangular.
insert into transactions (chain_id, wallet, nonce, kind, payment_ids, mint_ids)
select $1, $2, n.nonce, n.kind,
    string_to_array(n.payments, ',')::uuid[], string_to_array(n.mints, ',')::uuid[]
from unnest($3::bigint[], $4::text[], $5::text[], $6::text[]) as n(nonce, kind, payments, mints)
returning id, nonce
