-- The newest lines of the journal, oldest first; only those after line $2, and none of $3.
select * from (
    select e.id, e.at, e.payment_id, e.from_status, e.to_status, e.reason,
        e.evidence ->> 'tx_hash' as tx_hash, e.evidence ->> 'error' as error
    from payment_events e
    where e.id > $2 and e.id <> all($3::bigint[])
    order by e.id desc limit $1) as newest
order by id
