delete from channels where name = $1
