-- Rows of these statuses that no chain is known for, and every other copy of their authorizations.
-- One probe of an index for each: nothing here may be planned as a walk over finished rows.
with batch as materialized (
    select found.id, found.nonce from unnest($1::text[]) as wanted(status)
    cross join lateral (
        select id, lower("authorization" ->> 'nonce') as nonce from payment_queue
        where chain_id is null and refused is null and status = wanted.status
        order by created_at limit $2) as found
)
select id from batch
union
select unnest(array(
    select p.id from payment_queue p
    where lower(p."authorization" ->> 'nonce') = batch.nonce
        and p.chain_id is null and p.refused is null limit 1000))
from batch
