-- Not landed, not final, and the chain's clock at depth has passed their deadline.
select p.id, p.status, p.payer, p.pay_to, p.amount, p.payment_token_address,
    p.authorization_nonce, p.valid_after, p.valid_before, p.created_at, p.rounds, p.reason, p.tx_hash, t.state as carrier,
    t.block_number as carrier_block, cardinality(t.payment_ids) as carried
from payment_queue p
left join transactions t on t.id = p.transaction_id
where p.chain_id = $1 and not p.final and p.block_number is null and p.valid_before <= $2
    and not p.needs_lookup and p.duplicate_of is null
order by p.valid_before limit $3
