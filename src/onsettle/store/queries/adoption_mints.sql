-- Another program's mints of these payments: they keep their keys and count towards the quantity.
-- What is more than was paid for stays as it is, and nobody mints it.
with found as materialized (
    select m.id, p.id as payment_id, p.chain_id, p.quantity,
        m.status = 'completed' or h.id is not null as minted, h.mint_tx_hash as proof,
        (select count(*) from mint_queue o where o.payment_id = p.id)
            + row_number() over (
                partition by p.id
                order by m.status = 'completed' or h.id is not null desc,
                    m.status = 'processing' desc, m.created_at, m.id) as place
    from payment_queue p
    join mint_queue m on lower(m.payment_tx_hash) = lower(p.tx_hash)
        and lower(m.payer_address) = p.payer
    left join mint_history h on h.tx_hash_bytes32 = m.tx_hash_bytes32
    where p.id = any($1::uuid[]) and p.chain_id is not null and p.duplicate_of is null
        and p.tx_hash is not null and m.chain_id is null
        and m.tx_hash_bytes32 ~* '^0x[0-9a-f]{64}$'
        and coalesce(m.token_address, p.token_address) ~* '^0x[0-9a-f]{40}$'
)
update mint_queue m set
    chain_id = f.chain_id,
    payment_id = case when f.place <= f.quantity then f.payment_id end,
    payer_address = lower(m.payer_address), tx_hash_bytes32 = lower(m.tx_hash_bytes32),
    token_address = lower(coalesce(m.token_address, p.token_address)),
    mint_tx_hash = coalesce(f.proof, m.mint_tx_hash),
    -- Whether it was minted already is read from the token before it is minted.
    status = case when f.minted then 'completed' when f.place > f.quantity then 'failed'
        else 'processing' end,
    error_message = case when f.place > f.quantity
        then 'more than was paid for: its payment has all its mints' else m.error_message end,
    alone = true, hold_until = null, updated_at = now()
from found f join payment_queue p on p.id = f.payment_id
where m.id = f.id
returning m.id
