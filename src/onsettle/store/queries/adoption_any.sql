-- Whether rows of another program are left to take over, from their own index: while it is told by
-- old statistics, the planner believes that most rows are such.
select count(*) > 0 from (
    select 1 from payment_queue
    where chain_id is null and refused is null and status <> 'pending'
    order by status, created_at limit 1) as one
