-- Wallets with whether a live worker holds their key, and what they still owe the chain.
select w.*, (select count(*) from transactions t
        where t.chain_id = w.chain_id and t.wallet = w.address and t.state = 'live') as live,
    exists (select 1 from workers k
        where k.seen_at > now() - interval '6 seconds' and w.address = any(k.addresses)
            and w.chain_id = any(k.chains)) as keyed
from wallets w order by w.chain_id, w.role desc, w.address
