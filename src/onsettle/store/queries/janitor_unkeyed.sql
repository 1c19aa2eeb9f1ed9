-- Wallets that owe the chain something while no worker of their chain holds their key.
insert into alarms as raised (kind, subject, message)
select 'wallet_without_key', w.address,
    'it has transactions on their way and no running worker has its key: they are watched, not pushed'
from wallets w
where exists (
        select 1 from transactions t
        where t.chain_id = w.chain_id and t.wallet = w.address and t.state = 'live')
    and exists (
        select 1 from workers k
        where k.seen_at > now() - interval '6 seconds' and w.chain_id = any(k.chains))
    and not exists (
        select 1 from workers k
        where k.seen_at > now() - interval '6 seconds' and w.address = any(k.addresses))
on conflict (kind, subject) do update set seen_at = now(), cleared_at = null
returning kind, subject, message, not exists (
    select 1 from alarms a
    where a.kind = raised.kind and a.subject = raised.subject and a.cleared_at is null) as new
