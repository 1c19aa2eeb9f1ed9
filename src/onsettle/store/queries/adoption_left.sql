-- Rows of another program that are not taken over yet; those that are finished can wait.
select count(*) filter (where status <> 'completed') as open,
    count(*) filter (where status = 'completed') as finished
from payment_queue where chain_id is null and (refused is null or refused = 'awaits_network')
