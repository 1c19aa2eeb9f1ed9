-- Not completed, not final, and the chain's clock at depth has passed their deadline.
select * from payment_queue
where chain_id = $1 and not final and status <> 'completed' and valid_before <= $2
    and not needs_lookup and duplicate_of is null
order by valid_before limit $3
