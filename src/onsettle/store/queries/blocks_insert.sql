insert into blocks (chain_id, number, hash, parent_hash, time)
select $1, * from unnest($2::bigint[], $3::text[], $4::text[], $5::bigint[])
on conflict (chain_id, number) do update
set hash = excluded.hash, parent_hash = excluded.parent_hash, time = excluded.time
