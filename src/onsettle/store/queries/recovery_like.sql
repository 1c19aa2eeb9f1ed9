-- Payments by status and by a part of their error or reason.
select id from payment_queue
where not final and block_number is null and status = $1 and duplicate_of is null
    and ($2::text is null or position(lower($2) in lower(coalesce(error, '') || ' ' || coalesce(reason, ''))) > 0)
order by created_at limit $3
