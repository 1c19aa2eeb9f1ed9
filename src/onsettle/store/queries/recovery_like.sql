-- Payments by status and by a part of their error or reason.
select id from payment_queue
where status = $1 and not final and duplicate_of is null
    and ($2::text is null or position(lower($2) in lower(coalesce(error, '') || ' ' || coalesce(reason, ''))) > 0)
order by created_at limit $3
