-- Far below anything that a reorg, a depth or a look-up can ask for.
delete from blocks b using (
    select b.chain_id, b.number from blocks b join networks n using (chain_id)
    where b.number < n.cursor_number - $1 order by b.number limit $2) as old
where b.chain_id = old.chain_id and b.number = old.number
