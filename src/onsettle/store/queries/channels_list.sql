select * from channels order by name
