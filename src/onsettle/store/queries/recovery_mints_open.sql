-- Mints that are not done, by status (null: any), oldest first. Each kind has an index of its own.
select id from (
    select id, created_at from mint_queue where status = 'pending' and chain_id is not null
        and ($1::text is null or $1 = 'pending')
    union all
    select id, created_at from mint_queue where status = 'processing' and chain_id is not null
        and ($1::text is null or $1 = 'processing')
    union all
    select id, created_at from mint_queue where status = 'failed' and chain_id is not null
        and ($1::text is null or $1 = 'failed')) as open
order by created_at limit $2
