-- Rows that need a look-up of their own, with what became of the transaction that carries them.
select p.id, p.status, p.payer, p.pay_to, p.amount, p.payment_token_address,
    p.authorization_nonce, p.valid_after, p.valid_before, p.created_at, p.rounds, p.reason, p.tx_hash, t.state as carrier,
    t.block_number as carrier_block, cardinality(t.payment_ids) as carried
from payment_queue p
left join transactions t on t.id = p.transaction_id
where p.chain_id = $1 and p.needs_lookup and (p.hold_until is null or p.hold_until <= now())
order by p.hold_until nulls first limit $2
