-- Mints that are not done, by status (null: any), oldest first.
select id from mint_queue
where status in ('pending', 'processing', 'failed') and ($1::text is null or status = $1)
    and chain_id is not null
order by created_at limit $2
