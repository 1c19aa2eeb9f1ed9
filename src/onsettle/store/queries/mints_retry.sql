-- An operator's retry: at once and alone. Never while a transaction that mints it may land.
update mint_queue m set status = 'pending', alone = true, retry_count = 0, error_message = null,
    hold_until = null, updated_at = now()
from unnest($1::uuid[], $2::text[]) as n(id, old)
where m.id = n.id and m.status = n.old and m.block_number is null
    and not exists (
        select 1 from transactions t
        where t.chain_id = m.chain_id and t.state = 'live' and m.id = any(t.mint_ids))
returning m.id
