-- Unmined bytes that should be offered again, the same ones: never offered yet, not known to have
-- arrived (soon, then less often), or on their way for $4 seconds.
select t.id, t.nonce, a.hash, a.raw
from transactions t
join lateral (
    select * from attempts where transaction_id = t.id order by created_at desc, hash limit 1
) as a on true
where t.chain_id = $1 and t.wallet = $2 and t.state = 'live' and t.nonce >= $3
    and (a.tried_at is null
        or a.tried_at < now() - make_interval(secs => case
            when a.sent_at is null or a.answer = 'unknown'
                then least(0.5 * 2 ^ least(a.tries, 5), 10)
            else $4 end))
order by t.nonce limit $5
