-- One batch of transactions from $1 up, as far as they are old. Of those that are over for good,
-- the attempts that were not mined go; where none was, the newest stays. A live transaction keeps
-- every attempt.
with next as (
    select id, chain_id, state, mined_hash, block_number, created_at from transactions
    where id > $1 order by id limit $3),
batch as (
    select t.id, t.state, t.mined_hash, t.block_number <= n.finalized_number as deep
    from next t join networks n using (chain_id)
    where t.created_at < now() - make_interval(secs => $2)),
gone as (
    delete from attempts a using batch b
    where a.transaction_id = b.id and (b.state = 'replaced' or (b.state <> 'live' and b.deep))
        and a.hash <> coalesce(b.mined_hash, (
            select k.hash from attempts k where k.transaction_id = b.id
            order by k.created_at desc, k.hash limit 1))
    returning 1)
select max(id) as last, (select count(*) from gone) as gone from batch
