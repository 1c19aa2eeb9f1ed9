select * from mint_queue where id = any($1::uuid[])
