select id, addresses from workers where seen_at > now() - interval '6 seconds' order by id
