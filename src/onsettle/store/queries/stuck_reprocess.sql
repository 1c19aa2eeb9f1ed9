-- Payments that were marked as failed by hand or timed out, and whose end is still open.
select count(*) from payment_queue
where not final and block_number is null and status in ('failed', 'confirmation_failed')
    and reason in ('manual', 'timeout')
