-- Rows of these statuses that no chain is known for, and every other copy of their authorizations.
with batch as (
    select id, lower("authorization" ->> 'nonce') as nonce from payment_queue
    where chain_id is null and refused is null and status = any($1::text[])
    order by created_at limit $2
)
select id from batch
union
select p.id from batch
join payment_queue p on lower(p."authorization" ->> 'nonce') = batch.nonce
where p.chain_id is null and p.refused is null
