-- What these payers have signed and unmined: it goes ahead of theirs in the simulation.
select * from payment_queue
where chain_id = $1 and payer = any($2::text[]) and status in ('processing', 'sent')
    and block_number is null
limit $3
