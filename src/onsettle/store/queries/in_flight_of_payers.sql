-- What these payers have signed and unmined, by asset: it may leave too little for the next.
select i.payer, p.payment_token_address, sum(p.amount) as amount
from unnest($2::text[]) as i(payer)
cross join lateral (
    select payment_token_address, amount from payment_queue p
    where p.chain_id = $1 and p.payer = i.payer and p.status in ('processing', 'sent')
        and p.block_number is null offset 0) as p
group by i.payer, p.payment_token_address
