-- Rows that no chain is known for and that hold an authorization with one of these nonces.
select id from payment_queue
where chain_id is null and refused is null and lower("authorization" ->> 'nonce') = any($1::text[])
