-- $ROWS finished payments of chain 1, a fifth of them with a transaction, an attempt, a mint, an
-- event and an outbox row; and a hundred payments that are not finished yet. Past the triggers.
set synchronous_commit = off;
alter table payment_queue disable trigger user;

insert into payment_queue (id, chain_id, payment_type, token_address, "authorization", payer,
    amount, payment_token_address, pay_to, authorization_nonce, valid_after, valid_before, status,
    final, tx_hash, transaction_id, block_number, block_hash, log_index, created_at, processed_at,
    sent_at, completed_at, reason)
select
    md5('payment' || i)::uuid, 1, 'mint', '0x' || repeat('bb', 20), '{}',
    '0x' || left(md5('payer' || i % 5000), 32) || '00000000', 10000, '0x' || repeat('aa', 20),
    '0x' || repeat('11', 20), '0x' || md5('nonce' || i) || md5('nonce' || i), 0,
    case when i % 10 = 0 then 1000 else 4000000000 end,
    case when i % 10 = 0 then 'failed' else 'completed' end, true,
    '0x' || md5('hash' || i) || md5('hash' || i), i, i / 50, '0x' || md5('block' || i / 50), 1,
    now() - make_interval(secs => $ROWS - i), now() - make_interval(secs => $ROWS - i),
    now() - make_interval(secs => $ROWS - i), now() - make_interval(secs => $ROWS - i), 'landed'
from generate_series(1, $ROWS) as i;

insert into payment_queue (id, chain_id, payment_type, token_address, "authorization", payer,
    amount, payment_token_address, pay_to, authorization_nonce, valid_after, valid_before, status,
    transaction_id, sent_at, processed_at)
select
    md5('open' || i)::uuid, 1, 'mint', '0x' || repeat('bb', 20), '{}',
    '0x' || left(md5('payer' || i), 32) || '00000000', 10000, '0x' || repeat('aa', 20),
    '0x' || repeat('11', 20), '0x' || md5('open' || i) || md5('open' || i), 0, 4000000000,
    (array['pending', 'processing', 'sent'])[1 + i % 3], $ROWS + i, now(), now()
from generate_series(1, 100) as i;

alter table payment_queue enable trigger user;

insert into transactions (chain_id, wallet, nonce, kind, payment_ids, state, mined_hash,
    block_number, block_hash)
select 1, '0x' || repeat('cc', 20), i, 'payment', array[md5('payment' || i)::uuid], 'mined',
    '0x' || md5('hash' || i) || md5('hash' || i), i / 50, '0x' || md5('block' || i / 50)
from generate_series(1, $ROWS / 5) as i;

insert into transactions (chain_id, wallet, nonce, kind, payment_ids)
select 1, '0x' || repeat('cc', 20), $ROWS + i, 'payment', array[md5('open' || i)::uuid]
from generate_series(1, 100) as i;

insert into attempts (hash, transaction_id, raw, max_fee, priority_fee, gas_limit)
select '0x' || md5('hash' || id) || md5('hash' || id), id, '\x00', 1, 1, 1 from transactions;

insert into mint_queue (id, payer_address, tx_hash_bytes32, payment_tx_hash, mint_tx_hash,
    token_address, status, chain_id, payment_id, unit, transaction_id, block_number, block_hash)
select md5('mint' || i)::uuid, '0x' || left(md5('payer' || i % 5000), 32) || '00000000',
    '0x' || md5('key' || i) || md5('key' || i), '0x' || md5('hash' || i) || md5('hash' || i),
    '0x' || md5('minted' || i) || md5('minted' || i), '0x' || repeat('bb', 20), 'completed', 1,
    md5('payment' || i)::uuid, 1, i, i / 50, '0x' || md5('block' || i / 50)
from generate_series(1, $ROWS / 5) as i;

insert into payment_events (payment_id, from_status, to_status, reason, evidence, at)
select md5('payment' || i)::uuid, null, 'pending', 'accepted', jsonb_build_object('transaction', i),
    now() - interval '30 days' + i * interval '20 seconds'
from generate_series(1, $ROWS / 5) as i;

insert into outbox (id, payment_id, channel, event, body, status, next_try_at)
select md5('event' || i)::uuid, md5('payment' || i)::uuid, 'webhook', 'payment.completed', '{}',
    'delivered', now()
from generate_series(1, $ROWS / 5) as i;

insert into blocks (chain_id, number, hash, parent_hash, time)
select 1, i, '0x' || md5('block' || i), '0x' || md5('block' || i - 1), i
from generate_series(1, 1024) as i;

insert into networks (chain_id, name, genesis_hash, cursor_number, cursor_hash, following_since)
values (1, 'test', '0x00', $ROWS / 50, '0x' || md5('block' || $ROWS / 50), now());
insert into wallets (chain_id, address, role, next_nonce, mined_nonce)
values (1, '0x' || repeat('cc', 20), 'payment', $ROWS + 101, $ROWS);
