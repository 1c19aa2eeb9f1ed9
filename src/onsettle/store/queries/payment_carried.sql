-- Whether a transaction that carries it may still land.
select exists (
    select 1 from transactions t
    where t.chain_id = $1 and t.state = 'live' and $2 = any(t.payment_ids))
