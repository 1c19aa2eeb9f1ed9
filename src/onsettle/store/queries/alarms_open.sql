select kind, subject, message, raised_at from alarms where cleared_at is null order by raised_at
