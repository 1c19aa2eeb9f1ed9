-- Of payments whose transfer stands: a reorg holds back what is not signed yet.
select m.id, m.payer_address, m.tx_hash_bytes32, m.token_address, m.alone, m.created_at
from mint_queue m
join payment_queue p on p.id = m.payment_id
where m.chain_id = $1 and m.status = 'pending' and p.status = 'completed'
    and (p.block_number is not null or p.final)
    and (m.hold_until is null or m.hold_until <= now())
order by m.created_at limit $2
