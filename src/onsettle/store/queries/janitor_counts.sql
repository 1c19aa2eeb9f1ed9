-- Running counts, added up: a few rows in place of many. Nothing while there are few.
with old as (
    delete from status_counts where id in (
        select id from status_counts
        where (select count(*) from (select from status_counts limit 100) as few) = 100
        order by id limit $1 for update skip locked)
    returning kind, status, change)
insert into status_counts (kind, status, change)
select kind, status, sum(change) from old group by kind, status having sum(change) <> 0
