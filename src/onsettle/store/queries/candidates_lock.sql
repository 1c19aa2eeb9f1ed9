-- The re-check inside the signing commit. Rows that moved or are locked are left to others.
-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
select id from payment_queue p
where id = any($1::uuid[]) and status || '' = 'pending' and not needs_lookup and not unchecked
    and not exists (select 1 from transactions t where t.id = p.transaction_id and t.state = 'live')
for update skip locked
