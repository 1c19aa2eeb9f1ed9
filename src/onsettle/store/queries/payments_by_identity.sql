-- One look at the index for each identity, whatever the planner believes about the table.
select p.*
from unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) as i(chain_id, asset, payer, nonce)
cross join lateral (
    select * from payment_queue p
    where payment_identity(p.chain_id, p.payment_token_address, p.payer, p.authorization_nonce)
            = payment_identity(i.chain_id, i.asset, i.payer, i.nonce)
        and p.chain_id is not null and p.duplicate_of is null
        and p.chain_id = i.chain_id and p.payment_token_address = i.asset and p.payer = i.payer
        and p.authorization_nonce = i.nonce
    limit 1) as p
