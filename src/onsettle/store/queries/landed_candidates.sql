-- The payments that these uses may belong to.
select p.* from payment_queue p
join unnest($2::text[], $3::text[], $4::text[]) as u(asset, payer, nonce)
    on p.payment_token_address = u.asset and p.payer = u.payer and p.authorization_nonce = u.nonce
where p.chain_id = $1 and p.duplicate_of is null
