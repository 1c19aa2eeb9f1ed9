-- Until one lands, what a payment shows is its newest attempt. Found by id.
update payment_queue p set tx_hash = $3
where p.id = any($1::uuid[]) and p.transaction_id = $2 and p.block_number + 0 is null and not p.final
