-- Refused for their asset, and more is known of it now: they can be taken, or refused for good.
-- $1: the assets of every network that is configured, open or not; $2: at most so many.
select found.id from (
    select address, count(*) as chains from assets a
    group by address
    having count(*) >= (select count(*) from unnest($1::text[]) as c(address)
        where c.address = a.address)
) as known
cross join lateral (
    select p.id from payment_queue p
    where lower(p.payment_token_address) = known.address
        and p.chain_id is null and p.refused is not null
        and (p.refused = 'awaits_network'
            or (known.chains = 1 and p.refused in ('asset_not_allowed', 'asset_ambiguous')))
    limit $2) as found
limit $2
