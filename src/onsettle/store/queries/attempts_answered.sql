update attempts a set tries = a.tries + 1, tried_at = now(), answer = n.answer,
    answer_text = n.text, sent_at = case when n.has then coalesce(a.sent_at, now()) else a.sent_at end
from unnest($1::text[], $2::text[], $3::text[], $4::boolean[]) as n(hash, answer, text, has)
where a.hash = n.hash
