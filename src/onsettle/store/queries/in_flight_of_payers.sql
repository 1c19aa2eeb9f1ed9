-- What these payers have signed and unmined, by asset: it may leave too little for the next.
select payer, payment_token_address, sum(amount) as amount from payment_queue
where chain_id = $1 and payer = any($2::text[]) and status in ('processing', 'sent')
    and block_number is null
group by payer, payment_token_address
