select
    count(*) filter (where status = 'pending') as pending,
    count(*) filter (where status = 'dead') as dead,
    min(created_at) filter (where status = 'pending') as oldest
from outbox where status <> 'delivered'
