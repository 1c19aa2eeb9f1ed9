-- Counted from the indexes of each kind.
select status, count(*) as count from mint_queue where status in ('completed', 'failed')
group by status
union all
select status, count(*) from mint_queue where status = 'pending' group by status
union all
select status, count(*) from mint_queue where status = 'processing' group by status
