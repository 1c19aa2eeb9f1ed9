-- One batch of events from $1 up, as far as they are old. Of payments that are final, the newest
-- event stays: it still replays to the status.
with next as (
    select id, payment_id, at from payment_events where id > $1 order by id limit $3),
batch as (
    select id, payment_id from next where at < now() - make_interval(secs => $2)),
gone as (
    delete from payment_events e using batch b
    where e.id = b.id
        and exists (select 1 from payment_queue p where p.id = b.payment_id and p.final)
        and exists (
            select 1 from payment_events later
            where later.payment_id = b.payment_id and later.id > b.id)
    returning 1)
select max(id) as last, (select count(*) from gone) as gone from batch
