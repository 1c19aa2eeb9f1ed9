-- Payments that a node has and no block that we read, as far as they are worth counting.
select count(*) from (
    select 1 from payment_queue where chain_id = $1 and status = 'sent' and block_number is null
    limit 10000) as few
