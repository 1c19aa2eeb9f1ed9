select p.* from payment_queue p
join unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) as i(chain_id, asset, payer, nonce)
    on p.chain_id = i.chain_id and p.payment_token_address = i.asset and p.payer = i.payer
    and p.authorization_nonce = i.nonce
where p.chain_id is not null and p.duplicate_of is null
