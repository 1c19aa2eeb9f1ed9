insert into wallets (chain_id, address, role) values ($1, $2, $3)
on conflict (chain_id, address) do update set role = excluded.role
