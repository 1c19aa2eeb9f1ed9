-- Mints of these payments that only the older server's archive still knows.
insert into mint_queue (payer_address, tx_hash_bytes32, payment_tx_hash, mint_tx_hash,
    payment_type, token_address, status, created_at, updated_at, processed_at)
select h.payer_address, h.tx_hash_bytes32, h.payment_tx_hash, h.mint_tx_hash,
    coalesce(h.payment_type, 'x402'), coalesce(h.token_address, p.token_address), 'completed',
    coalesce(h.created_at, now()), now(), coalesce(h.completed_at, h.created_at, now())
from payment_queue p
join mint_history h on lower(h.payment_tx_hash) = lower(p.tx_hash)
    and lower(h.payer_address) = p.payer
where p.id = any($1::uuid[]) and p.tx_hash is not null and p.duplicate_of is null
on conflict (tx_hash_bytes32) do nothing
