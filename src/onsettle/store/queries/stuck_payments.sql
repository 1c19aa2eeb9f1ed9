-- The guide's stuck query, and all else that waits for more than its turn: held, marked by hand,
-- timed out, completed in a block that a reorg took back. The oldest $2 of them, each with the number
-- of all, the transaction that carries it and what the nodes said last.
with waiting as (
    select p.id, count(*) over () as total
    from (
        select * from payment_queue where not final and block_number is null
        union all
        select * from payment_queue
        where not final and block_number is not null and status <> 'completed') p
    left join transactions t on t.id = p.transaction_id
    where p.duplicate_of is null and case
            when p.status in ('sent', 'processing')
                then coalesce(p.processed_at, p.created_at) < now() - make_interval(secs => $1)
            when p.status = 'pending'
                then p.hold_until is not null or p.created_at < now() - make_interval(secs => $1)
            when p.status = 'completed' then p.chain_id is not null
            else t.state = 'live' or p.reason in ('manual', 'timeout', 'reverted', 'reversed', 'too_many_rounds')
        end
    order by coalesce(p.processed_at, p.created_at) limit $2
)
select w.total, p.id, p.chain_id, p.status, p.reason, p.error, p.payer, p.tx_hash, p.created_at, p.processed_at,
    p.completed_at,
    coalesce(p.valid_after, 0) as valid_after, coalesce(p.valid_before, 0) as valid_before, p.hold_until, p.needs_lookup, p.block_number,
    t.wallet, t.nonce, t.state, a.answer, a.tries, a.tried_at,
    a.sent_at as arrived, a.created_at as signed_at, a.max_fee, a.noop,
    (select min(l.nonce) from transactions l
        where l.chain_id = t.chain_id and l.wallet = t.wallet and l.state = 'live') as lowest,
    exists (select 1 from workers k
        where k.seen_at > now() - interval '6 seconds' and t.wallet = any(k.addresses)) as keyed
from waiting w
join payment_queue p on p.id = w.id
left join transactions t on t.id = p.transaction_id
left join lateral (
    select answer, tries, tried_at, sent_at, created_at, max_fee, noop from attempts
    where transaction_id = t.id order by created_at desc, hash limit 1) as a on true
order by coalesce(p.processed_at, p.created_at)
