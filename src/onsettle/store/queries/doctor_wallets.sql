-- For each wallet: our next nonce by the rows, since when it sends, what it mined in a day, what
-- others took in a week.
select t.wallet, max(t.nonce) + 1 as top,
    extract(epoch from now() - min(t.created_at))::float8 as age_s,
    count(*) filter (where t.mined_hash is not null and t.created_at > now() - interval '1 day') as mined,
    count(*) filter (where t.state = 'replaced' and t.created_at > now() - interval '7 days') as replaced,
    (select avg(a.gas_limit)::bigint from (
        select id from transactions r where r.chain_id = $1 and r.wallet = t.wallet
        order by r.nonce desc limit 100) as r
        join attempts a on a.transaction_id = r.id) as gas
from transactions t
where t.chain_id = $1
group by t.wallet
