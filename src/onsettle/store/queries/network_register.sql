-- The genesis hash that this database knows for the chain; ours where the chain is new.
insert into networks (chain_id, name, genesis_hash) values ($1, $2, $3)
on conflict (chain_id) do update set name = excluded.name
returning genesis_hash
