-- The payments that these uses may belong to, held before any of them is written: one commit takes
-- in many blocks. Rows are locked in the order of their ids: no two statements wait for each other.
with found as materialized (
    select p.id
    from unnest($2::text[], $3::text[], $4::text[]) as u(asset, payer, nonce)
    cross join lateral (
        select * from payment_queue p
        where payment_identity(p.chain_id, p.payment_token_address, p.payer, p.authorization_nonce)
                = payment_identity($1, u.asset, u.payer, u.nonce)
            and p.chain_id is not null and p.duplicate_of is null
            and p.chain_id = $1 and p.payment_token_address = u.asset and p.payer = u.payer
            and p.authorization_nonce = u.nonce
        limit 1) as p
)
select p.id, p.payment_token_address, p.payer, p.authorization_nonce, p.pay_to, p.amount
from payment_queue p
where p.id = any(array(select id from found))
order by p.id for update of p
