-- Whether rows of another program are left to take over, from their own indexes: while it is told by
-- old statistics, the planner believes that most rows are such.
select exists (
    select 1 from (
        select 1 from payment_queue
        where chain_id is null and refused is null and status <> 'pending'
        order by status, created_at limit 1) as one
) or exists (
    select 1 from assets a
    cross join lateral (
        select 1 from payment_queue p
        where lower(p.payment_token_address) = a.address
            and p.chain_id is null and p.refused is not null
            and p.refused in ('awaits_network', 'asset_not_allowed')
        limit 1) as refused)
