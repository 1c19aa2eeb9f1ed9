-- onsettle: no transaction
-- The block at which a final failure was judged, until that block is finalized: a reorg below it
-- takes the verdict back.

alter table payment_queue add column if not exists judged_block bigint;

create index concurrently if not exists payment_queue_judged
    on payment_queue (chain_id, judged_block)
    where judged_block is not null;
