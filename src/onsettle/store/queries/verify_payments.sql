select id, status, final, payment_type, payment_token_address, payer, pay_to, amount,
    authorization_nonce, token_address, quantity, block_number
from payment_queue
where chain_id = $1 and duplicate_of is null
