update channels set disabled = null, updated_at = now() where name = $1
