-- onsettle: no transaction
-- What was settled before. One statement sees one state of the tables: what others change meanwhile
-- is in both or in neither. Once more, it changes nothing; after rows were written past the triggers
-- (a replica's rights), it puts the counts right.
insert into status_counts (kind, status, change)
select kind, status, sum(change) from (
    select 'payment' as kind, status, count(*) as change from payment_queue
    where status in ('completed', 'failed', 'confirmation_failed') group by status
    union all
    select 'mint', status, count(*) from mint_queue
    where status in ('completed', 'failed') group by status
    union all
    select kind, status, -change from status_counts) as found
group by kind, status having sum(change) <> 0;
