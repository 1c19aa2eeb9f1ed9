-- Workers that died without a word.
delete from workers where seen_at < now() - make_interval(secs => $1)
