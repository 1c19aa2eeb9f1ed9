select number, hash, parent_hash, time from blocks where chain_id = $1 order by number desc limit $2
