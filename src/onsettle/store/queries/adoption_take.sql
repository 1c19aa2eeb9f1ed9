-- Give rows that another program wrote their chain and the one form of their identity.
-- Of two copies of an authorization the one that got furthest keeps it; the other is marked.
-- $2: the assets of every network that is configured, open or not.
with picked as materialized (
    select p.id, p.created_at, p.amount, lower(p.payer) as stated_payer,
        -- What only a refusal for its asset failed waits as it did before.
        case when p.status = 'failed' and p.reason in ('asset_not_allowed', 'asset_ambiguous')
            then 'pending' else p.status end as status,
        p.status = 'failed' and p.reason in ('asset_not_allowed', 'asset_ambiguous') as revived,
        lower(p.payment_token_address) as asset, lower(p.token_address) as token,
        p."authorization" as auth,
        lower(p."authorization" ->> 'from') as payer, lower(p."authorization" ->> 'to') as pay_to,
        lower(p."authorization" ->> 'nonce') as nonce, p."authorization" ->> 'value' as value,
        p."authorization" ->> 'validAfter' as valid_after,
        p."authorization" ->> 'validBefore' as valid_before,
        case
            when p."authorization" ->> 'signature' is not null
                then lower(p."authorization" ->> 'signature')
            when p."authorization" ->> 'r' ~* '^0x[0-9a-f]{64}$'
                and p."authorization" ->> 's' ~* '^0x[0-9a-f]{64}$'
                and p."authorization" ->> 'v' ~* '^(0|1|27|28|0x1b|0x1c)$'
                then lower('0x' || substr(p."authorization" ->> 'r', 3)
                    || substr(p."authorization" ->> 's', 3)
                    || case when p."authorization" ->> 'v' ~* '^(0|27|0x1b)$'
                        then '1b' else '1c' end)
        end as signature,
        case when p.metadata ->> 'quantity' ~ '^[1-9][0-9]{0,5}$'
            then (p.metadata ->> 'quantity')::integer else 1 end as quantity
    from payment_queue p
    where p.id = any($1::uuid[]) and p.chain_id is null and (p.refused is null
        or p.refused in ('awaits_network', 'asset_not_allowed', 'asset_ambiguous'))
    order by p.id for update
), judged as (
    select k.*, a.chain_id,
        case
            when not coalesce(
                k.payer ~ '^0x[0-9a-f]{40}$' and k.pay_to ~ '^0x[0-9a-f]{40}$'
                and k.asset ~ '^0x[0-9a-f]{40}$' and k.nonce ~ '^0x[0-9a-f]{64}$'
                and (k.token is null or k.token ~ '^0x[0-9a-f]{40}$')
                and k.value ~ '^[0-9]{1,78}$' and k.valid_after ~ '^[0-9]{1,78}$'
                and k.valid_before ~ '^[0-9]{1,78}$'
                and k.signature ~ '^0x([0-9a-f]{2})+$', false) then 'unreadable'
            when a.chains < a.configured then 'awaits_network'
            when a.chains = 0 then 'asset_not_allowed'
            when a.chains > 1 then 'asset_ambiguous'
            when k.status <> 'completed' and k.value::numeric <> k.amount then 'amount_mismatch'
            when k.status <> 'completed' and k.payer <> k.stated_payer then 'payer_mismatch'
        end as problem
    from picked k
    cross join lateral (
        select min(chain_id) as chain_id, count(*) as chains,
            (select count(*) from unnest($2::text[]) as c(address) where c.address = k.asset)
                as configured
        from assets where address = k.asset) as a
), standing as materialized (
    select j.*, (
        select q.id from payment_queue q
        where payment_identity(
                q.chain_id, q.payment_token_address, q.payer, q.authorization_nonce)
            = payment_identity(j.chain_id, j.asset, j.payer, j.nonce)
            and q.chain_id is not null and q.duplicate_of is null) as standing_id
    from judged j where j.problem is null
), ranked as (
    select j.*, coalesce(j.standing_id, first_value(j.id) over same) as primary_id
    from standing j
    window same as (
        partition by j.chain_id, j.asset, j.payer, j.nonce
        order by array_position(array['completed', 'processing', 'sent', 'pending'], j.status)
            nulls last, j.created_at, j.id)
), begun as (
    -- Rows from before there was a journal begin it with the status that they came with.
    insert into payment_events (payment_id, from_status, to_status, reason)
    select k.id, null, k.status, 'taken_over' from picked k
    where not exists (select 1 from payment_events e where e.payment_id = k.id)
), adopted as (
    update payment_queue p set
        chain_id = r.chain_id, payer = r.payer, pay_to = r.pay_to,
        payment_token_address = r.asset, token_address = r.token, authorization_nonce = r.nonce,
        valid_after = least(r.valid_after::numeric, 4611686018427387904)::bigint,
        valid_before = least(r.valid_before::numeric, 4611686018427387904)::bigint,
        quantity = r.quantity, by_hand = true,
        "authorization" = r.auth || jsonb_build_object('signature', r.signature),
        duplicate_of = nullif(r.primary_id, r.id),
        unchecked = r.status <> 'completed' and r.primary_id = r.id, refused = null,
        -- A row that was completed before we came is closed unseen. What another program took in
        -- or completed since then is looked up, and delivered if its mints are missing.
        needs_lookup = r.primary_id = r.id and (
            r.revived or r.status in ('processing', 'sent')
            or (r.status = 'completed' and p.by_hand)
            or (r.status in ('failed', 'confirmation_failed')
                and r.valid_before::numeric > extract(epoch from now()))),
        final = r.primary_id <> r.id or (r.status = 'completed' and not p.by_hand),
        status = case when r.primary_id <> r.id and r.status in ('pending', 'processing', 'sent')
            then 'failed' else r.status end,
        reason = case when r.primary_id <> r.id then 'duplicate' when r.revived then 'taken_over'
            -- The guide's two statements by hand, run before there was a trigger to note it.
            when p.reason is null and r.status in ('failed', 'confirmation_failed')
                and p.error ~* '^(manual reset|rollback to sync)' then 'manual'
            else p.reason end,
        error = case when r.primary_id <> r.id and r.status in ('pending', 'processing', 'sent')
            then 'the same authorization as payment ' || r.primary_id
            when r.revived then null else p.error end
    from ranked r where p.id = r.id
    returning p.id, null as problem, p.duplicate_of is not null as doubled
), refused as (
    update payment_queue p set refused = j.problem,
        status = case when j.status in ('pending', 'processing', 'sent')
            then 'failed' else p.status end,
        reason = case when j.status in ('pending', 'processing', 'sent')
            then j.problem else p.reason end,
        processed_at = coalesce(p.processed_at, now()),
        error = case when j.status in ('pending', 'processing', 'sent') then
            case j.problem
                when 'unreadable' then 'its authorization can not be read: from, to, value,'
                    ' validAfter, validBefore, nonce and signature (or v, r, s) are needed'
                when 'asset_not_allowed' then j.asset || ' is not one of ONSETTLE_ASSETS'
                when 'asset_ambiguous' then j.asset || ' is an asset of several networks'
                when 'amount_mismatch' then 'the amount of the row is not the signed value'
                else 'the payer of the row is not the one who signed' end
            else p.error end
    from judged j
    where p.id = j.id and j.problem <> 'awaits_network' and p.refused is distinct from j.problem
    returning p.id, p.refused as problem, false as doubled
), waiting as (
    -- Its chain can't be told before the network has opened: it stays as it is until then.
    update payment_queue p set refused = j.problem
    from judged j
    where p.id = j.id and j.problem = 'awaits_network' and p.refused is distinct from j.problem
    returning p.id, p.refused as problem, false as doubled
)
select * from adopted union all select * from refused union all select * from waiting
