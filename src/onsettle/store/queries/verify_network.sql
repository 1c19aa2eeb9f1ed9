select n.cursor_number,
    (select count(*) from transactions t where t.chain_id = $1) as transactions,
    least(
        (select min(block_number) from payment_queue where chain_id = $1),
        (select min(block_number) from mint_queue where chain_id = $1),
        (select min(block_number) from transactions where chain_id = $1)) as first_block
from networks n where n.chain_id = $1
