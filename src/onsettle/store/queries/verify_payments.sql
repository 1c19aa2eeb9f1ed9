select id, status, final, payment_type, payment_token_address, payer, pay_to, amount,
    authorization_nonce, valid_after, valid_before, created_at, "authorization", token_address,
    quantity, tx_hash, block_number, by_hand, unchecked,
    extract(epoch from now() - coalesce(completed_at, processed_at, created_at))::bigint
        as completed_for_s
from payment_queue
where chain_id = $1 and duplicate_of is null
