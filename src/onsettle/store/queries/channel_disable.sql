with gone as (
    update channels set disabled = $2, updated_at = now() where name = $1 and disabled is null
    returning name)
update outbox o set status = 'dead', last_error = $2 from gone
where o.channel = gone.name and o.status = 'pending'
