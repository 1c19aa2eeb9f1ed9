select w.*, (select count(*) from transactions t
    where t.chain_id = w.chain_id and t.wallet = w.address and t.state = 'live') as live
from wallets w where w.chain_id = $1 or $1 is null order by role desc, address
