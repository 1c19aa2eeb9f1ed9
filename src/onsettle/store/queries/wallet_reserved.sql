-- Wei that the unmined transactions of a wallet may still burn.
select coalesce(sum(a.max_fee * a.gas_limit), 0)
from transactions t
join lateral (
    select max_fee, gas_limit from attempts where transaction_id = t.id
    order by created_at desc, hash limit 1) as a on true
where t.chain_id = $1 and t.wallet = $2 and t.state = 'live' and t.nonce >= $3
