-- An operator has seen to it. It comes back if its cause does.
update alarms set cleared_at = now()
where cleared_at is null and ($1::text is null or kind = $1) and ($2::text is null or subject = $2)
