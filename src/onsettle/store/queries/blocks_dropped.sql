-- A reorg dropped what is above this block: of a block that is not on the chain nothing is kept.
delete from blocks where chain_id = $1 and number > $2
