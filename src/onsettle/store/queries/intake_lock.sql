-- Processes that count the same payers take turns. In one order, so that none waits for another in
-- a ring; in few keys, so that the lock table can't run full. Key -1: the whole queue is counted.
select pg_advisory_xact_lock(40212, key) from (
    select distinct (abs(hashtext(chain_id || payer)::bigint) % 256)::integer as key
    from unnest($1::bigint[], $2::text[]) as p(chain_id, payer)
    union all select -1 where $3::boolean
    order by key) as locks
