-- The re-check inside the signing commit: free, and the payment still stands.
-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
select m.id from mint_queue m
join payment_queue p on p.id = m.payment_id
where m.id = any($1::uuid[]) and m.status || '' = 'pending' and p.status || '' = 'completed'
    and (p.block_number is not null or p.final)
    and not exists (select 1 from transactions t where t.id = m.transaction_id and t.state = 'live')
for update of m skip locked
