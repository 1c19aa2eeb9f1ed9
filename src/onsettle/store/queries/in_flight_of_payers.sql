-- What these payers have signed and unmined, by asset: it may leave too little for the next. Timed
-- out, failed by hand or taken back by a reorg, a payment whose transaction is live may still land.
select i.payer, p.payment_token_address, sum(p.amount) as amount
from unnest($2::text[]) as i(payer)
cross join lateral (
    select payment_token_address, amount from payment_queue p
    where p.chain_id = $1 and p.payer = i.payer and p.status in ('processing', 'sent')
        and p.block_number is null
    union all
    select payment_token_address, amount from payment_queue p
    where p.chain_id = $1 and p.payer = i.payer
        and p.status in ('completed', 'failed', 'confirmation_failed')
        and not p.final and p.block_number + 0 is null and p.transaction_id is not null
        and (select t.state from transactions t where t.id = p.transaction_id) = 'live'
    offset 0) as p
group by i.payer, p.payment_token_address
