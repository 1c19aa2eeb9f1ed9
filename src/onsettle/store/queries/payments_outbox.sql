-- One message per payment and channel, as it is at this moment; a channel that is disabled keeps
-- its messages, given up.
insert into outbox (id, payment_id, channel, event, body, status, last_error)
select case c.name when 'webhook' then n.webhook else n.handler end, p.id, c.name,
    'payment.completed',
    jsonb_build_object('type', 'payment.completed',
        'timestamp', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'data', jsonb_build_object(
            'id', p.id, 'status', p.status, 'payment_type', p.payment_type,
            'network', 'eip155:' || p.chain_id, 'asset', p.payment_token_address,
            'payer', p.payer, 'pay_to', p.pay_to, 'amount', p.amount::text,
            'authorization_nonce', p.authorization_nonce, 'token_address', p.token_address,
            'quantity', p.quantity, 'metadata', coalesce(p.metadata, '{}'), 'tx_hash', p.tx_hash,
            'block_number', p.block_number)),
    case when c.disabled is null then 'pending' else 'dead' end, c.disabled
from unnest($1::uuid[], $2::uuid[], $3::uuid[]) as n(payment_id, webhook, handler)
join payment_queue p on p.id = n.payment_id
cross join channels c
on conflict (id) do nothing
