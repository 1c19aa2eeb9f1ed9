-- Refused for an asset that is configured now: they are looked at again.
update payment_queue p set refused = null
from assets a
where p.refused in ('asset_not_allowed', 'asset_ambiguous')
    and lower(p.payment_token_address) = a.address and p.chain_id is null
