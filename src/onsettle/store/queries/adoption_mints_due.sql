-- Unfinished mints of another program, and the payments that they may belong to.
with batch as (
    select m.id, m.payer_address, m.payment_tx_hash from mint_queue m
    where m.chain_id is null and m.status <> 'completed'
        and (m.hold_until is null or m.hold_until <= now())
    order by m.created_at limit $1
), held as (
    -- Those that no payment is found for are looked at again, but not in each round.
    update mint_queue m set hold_until = now() + interval '30 seconds'
    from batch where m.id = batch.id
)
select distinct p.id from batch
join payment_queue p on p.payer in (batch.payer_address, lower(batch.payer_address))
    and p.status in ('completed', 'failed', 'confirmation_failed')
    and lower(p.tx_hash) = lower(batch.payment_tx_hash)
