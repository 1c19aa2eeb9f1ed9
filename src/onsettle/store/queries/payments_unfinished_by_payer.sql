select i.payer, (select count(*) from (
    select 1 from payment_queue p
    where p.chain_id = $1 and p.payer = i.payer and p.status in ('pending', 'processing', 'sent')
    limit $3) as few) as unfinished
from unnest($2::text[]) as i(payer)
