-- What is open by the indexes of each status; what is settled from its running count.
select status, sum(change)::bigint as count from status_counts where kind = 'mint' group by status
union all
select status, count(*) from mint_queue where status = 'pending' group by status
union all
select status, count(*) from mint_queue where status = 'processing' group by status
