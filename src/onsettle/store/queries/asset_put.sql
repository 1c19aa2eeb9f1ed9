insert into assets (chain_id, address, name, version, decimals, separator)
values ($1, $2, $3, $4, $5, $6)
on conflict (chain_id, address) do update set name = excluded.name, version = excluded.version,
    decimals = excluded.decimals, separator = excluded.separator
