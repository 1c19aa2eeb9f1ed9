-- The newest lines of the journal, oldest first; $2: only those after this line.
select * from (
    select e.id, e.at, e.payment_id, e.from_status, e.to_status, e.reason,
        e.evidence ->> 'tx_hash' as tx_hash, e.evidence ->> 'error' as error
    from payment_events e
    where e.id > $2
    order by e.id desc limit $1) as newest
order by id
