-- onsettle: no transaction
-- Refused rows by what makes them acceptable later: their asset is configured, or they are met again.

create index concurrently if not exists payment_queue_refused_asset
    on payment_queue (lower(payment_token_address))
    where chain_id is null and refused is not null;

create index concurrently if not exists payment_queue_refused_nonce
    on payment_queue (lower("authorization" ->> 'nonce'))
    where chain_id is null and refused is not null;
