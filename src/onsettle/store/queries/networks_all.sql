select * from networks order by chain_id
