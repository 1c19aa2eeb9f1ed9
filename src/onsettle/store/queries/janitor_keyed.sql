-- The alarm ends when a worker has the key again, or nothing is owed any more.
update alarms a set cleared_at = now()
where a.kind = 'wallet_without_key' and a.cleared_at is null and (
    exists (
        select 1 from workers k
        where k.seen_at > now() - interval '6 seconds' and a.subject = any(k.addresses))
    or not exists (
        select 1 from wallets w join transactions t on t.chain_id = w.chain_id
            and t.wallet = w.address and t.state = 'live'
        where w.address = a.subject))
