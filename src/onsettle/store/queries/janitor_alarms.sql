delete from alarms where cleared_at < now() - make_interval(secs => $1)
