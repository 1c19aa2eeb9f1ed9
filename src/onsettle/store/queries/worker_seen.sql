insert into workers (id, chains, addresses) values ($1, $2, $3)
on conflict (id) do update set seen_at = now(), chains = excluded.chains, addresses = excluded.addresses
