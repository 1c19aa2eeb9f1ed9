-- What `reset-stuck` looks at: sent or signed for too long, moved by hand, or timed out.
select id from payment_queue
where not final and block_number is null and chain_id is not null and duplicate_of is null and (
    (status in ('sent', 'processing')
        and coalesce(processed_at, created_at) < now() - make_interval(secs => $1))
    or (status in ('failed', 'confirmation_failed') and reason in ('manual', 'timeout')))
order by created_at limit $2
