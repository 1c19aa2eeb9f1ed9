select i.chain_id, i.payer, (select count(*) from (
    select 1 from payment_queue p
    where p.chain_id = i.chain_id and p.payer = i.payer
        and p.status in ('pending', 'processing', 'sent')
    limit $3) as few) as unfinished
from unnest($1::bigint[], $2::text[]) as i(chain_id, payer)
