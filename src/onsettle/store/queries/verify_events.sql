-- Payments whose journal does not replay to their status: it ends elsewhere, has a break, or
-- makes a step that does not exist.
with steps as (
    select e.payment_id, e.from_status, e.to_status,
        lag(e.to_status) over w as before, lead(e.id) over w is null as newest
    from payment_events e join payment_queue p on p.id = e.payment_id and p.chain_id = $1
    window w as (partition by e.payment_id order by e.id))
select p.id from payment_queue p
where p.chain_id = $1 and p.duplicate_of is null and (
    not exists (
        select 1 from steps s where s.payment_id = p.id and s.newest and s.to_status = p.status)
    or exists (
        select 1 from steps s where s.payment_id = p.id and s.before is not null
            and s.from_status is distinct from s.before)
    or exists (
        select 1 from steps s where s.payment_id = p.id and s.from_status is not null
            and not exists (
                select 1 from payment_transitions t
                where t.from_status = s.from_status and t.to_status = s.to_status)))
