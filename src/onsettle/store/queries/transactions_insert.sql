insert into transactions (chain_id, wallet, nonce, kind, payment_ids, mint_ids)
select $1, $2, n.nonce, n.kind,
    coalesce(array(select value::uuid from jsonb_array_elements_text(n.payments)), '{}'),
    coalesce(array(select value::uuid from jsonb_array_elements_text(n.mints)), '{}')
from unnest($3::bigint[], $4::text[], $5::jsonb[], $6::jsonb[]) as n(nonce, kind, payments, mints)
returning id, nonce
