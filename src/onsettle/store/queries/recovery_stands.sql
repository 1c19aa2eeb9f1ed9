-- Which of these blocks stand in our view of the chain. The row lock keeps a reorg out until commit.
select n.number from networks w, unnest($2::bigint[], $3::text[]) as n(number, hash)
where w.chain_id = $1 and n.number <= w.cursor_number
    and not exists (
        select 1 from blocks b
        where b.chain_id = $1 and b.number = n.number and b.hash <> n.hash)
for share of w
