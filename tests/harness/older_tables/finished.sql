-- $ROWS finished payments of the older server, newest last, with a mint for each tenth.
set synchronous_commit = off;

-- Built again at the end: that is quicker.
drop index idx_payment_queue_status, idx_payment_queue_payer, idx_payment_queue_pending;

insert into payment_queue (id, payment_type, token_address, "authorization", payer, amount,
    payment_token_address, metadata, status, tx_hash, created_at, processed_at)
select md5('payment' || i)::uuid, 'mint', '$MINT_TOKEN',
    jsonb_build_object('from', payer, 'to', '0x' || repeat('11', 20), 'value', '10000',
        'validAfter', '0', 'validBefore', '1700000000',
        'nonce', '0x' || md5('n' || i) || md5('m' || i),
        'signature', '0x' || repeat('ab', 64) || '1b'),
    payer, '10000', '$ASSET', '{"quantity": 1}', 'completed',
    '0x' || md5('h' || i) || md5('i' || i), at, at
from (
    select i, '0x' || upper(left(md5('payer' || i % 5000), 32)) || '0000abCD' as payer,
        now() - make_interval(secs => $ROWS + 100 - i) as at
    from generate_series(1, $ROWS) as i) as old;

insert into mint_queue (payer_address, tx_hash_bytes32, payment_tx_hash, mint_tx_hash,
    token_address, status)
select '0x' || upper(left(md5('payer' || i % 5000), 32)) || '0000abCD',
    '0x' || md5('k' || i) || md5('l' || i), '0x' || md5('h' || i) || md5('i' || i),
    '0x' || md5('o' || i) || md5('p' || i), '$MINT_TOKEN', 'completed'
from generate_series(10, $ROWS, 10) as i;

create index idx_payment_queue_status on payment_queue (status, created_at);
create index idx_payment_queue_payer on payment_queue (payer);
create index idx_payment_queue_pending on payment_queue (created_at) where status = 'pending';
analyze payment_queue;
