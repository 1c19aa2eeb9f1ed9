select m.id from mint_queue m
where m.id = any($1::uuid[]) and m.status = 'pending'
    and not exists (select 1 from transactions t where t.id = m.transaction_id and t.state = 'live')
for update skip locked
