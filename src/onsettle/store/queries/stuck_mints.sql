-- Mints that failed, were tried before, or are older than they should be; and those of another
-- program that no payment here has paid for. Each status has an index. The oldest $2 of them, each
-- with the number of all.
with waiting as (
    select m.id, count(*) over () as total
    from (
        select * from mint_queue where status = 'pending'
        union all
        select * from mint_queue where status = 'processing'
        union all
        select * from mint_queue where status = 'failed') as m
    where (m.chain_id is not null or m.status <> 'failed')
        and (m.status = 'failed' or m.retry_count > 0 or m.created_at < now() - make_interval(secs => $1))
    order by m.created_at limit $2
)
select w.total, m.id, m.chain_id, m.payment_id, m.unit, m.status, m.error_message, m.retry_count, m.hold_until,
    m.created_at, m.mint_tx_hash, m.payment_tx_hash, m.chain_id is null as adrift,
    case when m.chain_id is null then (
        select coalesce(o.refused, o.status) from payment_queue o
        where o.payer in (m.payer_address, lower(m.payer_address))
            and o.status in ('completed', 'failed', 'confirmation_failed')
            and lower(o.tx_hash) = lower(m.payment_tx_hash) limit 1) end as paid_by,
    coalesce(p.status = 'completed' and p.block_number is not null, false) as paid,
    t.wallet, t.nonce, t.state, a.answer, coalesce(a.tries, 0) as tries, a.tried_at,
    a.sent_at as arrived, a.created_at as signed_at, a.max_fee, a.noop,
    (select min(l.nonce) from transactions l
        where l.chain_id = t.chain_id and l.wallet = t.wallet and l.state = 'live') as lowest,
    exists (select 1 from workers k
        where k.seen_at > now() - interval '6 seconds' and t.wallet = any(k.addresses)) as keyed
from waiting w
join mint_queue m on m.id = w.id
left join payment_queue p on p.id = m.payment_id
left join transactions t on t.id = m.transaction_id
left join lateral (
    select answer, tries, tried_at, sent_at, created_at, max_fee, noop from attempts
    where transaction_id = t.id order by created_at desc, hash limit 1) as a on true
order by m.created_at
