-- Those that another program wrote or moved: its mints may belong to them.
select id from payment_queue where id = any($1::uuid[]) and by_hand
