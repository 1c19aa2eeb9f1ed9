-- One look at the start of a tick: the wallet, what it has in flight, and whether the confirmer
-- of its network stands at the head, as seen since this worker started or came back to the
-- database: what a restored backup says of that is the past.
select w.next_nonce, w.paused, n.cursor_number, n.base_fee,
    coalesce(n.following_since is not null and n.looked_at > now() - interval '15 seconds'
        and n.looked_at > (select k.started_at from workers k where k.id = w.lease_holder), false)
        as following,
    (select count(*) from transactions t
        where t.chain_id = w.chain_id and t.wallet = w.address and t.state = 'live') as live
from wallets w
join networks n on n.chain_id = w.chain_id
where w.chain_id = $1 and w.address = $2
