-- One row per unit, under keys that can't repeat. Mints of another program count: they have no
-- unit, and come first.
insert into mint_queue (id, payer_address, tx_hash_bytes32, payment_tx_hash, token_address,
    chain_id, payment_id, unit)
select gen_random_uuid(), p.payer,
    '0x' || encode(sha256(convert_to(p.id::text || ':' || unit, 'UTF8')), 'hex'),
    p.tx_hash, p.token_address, p.chain_id, p.id, unit
from payment_queue p
cross join lateral generate_series(
    1 + case when p.by_hand then (
        select count(*) from mint_queue m where m.payment_id = p.id and m.unit is null)
        else 0 end,
    p.quantity) as unit
where p.id = any($1::uuid[]) and p.payment_type = 'mint' and p.token_address is not null
on conflict (tx_hash_bytes32) do nothing
