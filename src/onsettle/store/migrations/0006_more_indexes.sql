-- onsettle: no transaction

create index concurrently if not exists mint_queue_block
    on mint_queue (chain_id, block_number)
    where block_number is not null;
