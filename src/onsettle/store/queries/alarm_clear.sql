update alarms set cleared_at = now() where kind = $1 and subject = $2 and cleared_at is null
