-- Payments with what carries them: the newest transaction, and whether any that may land does.
select p.*, t.wallet as tx_wallet, t.nonce as tx_nonce, t.state as tx_state,
    (select l.wallet || ' nonce ' || l.nonce from transactions l
        where l.chain_id = p.chain_id and l.state = 'live' and p.id = any(l.payment_ids)
        order by l.id desc limit 1) as live
from payment_queue p
left join transactions t on t.id = p.transaction_id
where p.id = any($1::uuid[])
order by p.created_at
