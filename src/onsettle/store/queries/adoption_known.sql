-- Rows that no chain is known for and that hold an authorization with one of these nonces; also
-- those that were refused for an asset that may be known now.
select id from payment_queue
where chain_id is null and refused is null and lower("authorization" ->> 'nonce') = any($1::text[])
union all
select id from payment_queue
where chain_id is null and refused is not null
    and refused in ('awaits_network', 'asset_not_allowed', 'asset_ambiguous')
    and lower("authorization" ->> 'nonce') = any($1::text[])
