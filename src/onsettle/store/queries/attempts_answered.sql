-- What a node said to these bytes. Payments whose bytes it holds are sent.
-- Found by id: the `|| ''` and `+ 0` keep out the indexes of unfinished rows, which look empty
-- to statistics that were made in a quiet hour.
with answered as (
    update attempts a set tries = a.tries + 1, tried_at = now(), answer = n.answer,
        answer_text = n.text,
        sent_at = case when n.has then coalesce(a.sent_at, now()) else a.sent_at end
    from unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) as n(hash, answer, text, has)
    where a.hash = n.hash
    returning a.hash, a.transaction_id, n.has and not a.noop as carries
), told as materialized (
    -- Rows are always locked in the order of their ids: no two statements wait for each other.
    select p.id, t.nonce, a.hash
    from answered a
    join transactions t on t.id = a.transaction_id
    cross join lateral unnest(t.payment_ids) as carried(id)
    join payment_queue p on p.id = carried.id
    where a.carries and t.state in ('live', 'mined') and p.transaction_id = t.id
        and p.status || '' = 'processing'
    order by p.id for update of p
)
update payment_queue p set status = 'sent', reason = 'broadcast', sent_at = now(),
    processed_at = coalesce(p.processed_at, now())
from told
where p.id = told.id and p.status || '' = 'processing'
returning p.id, told.nonce, told.hash
