-- Payments whose journal does not replay to their status: it ends elsewhere, has a break, or
-- makes a step that does not exist. Each journal is read once.
with steps as (
    select e.payment_id, e.to_status, e.from_status,
        e.from_status is not null and t.to_status is null as unknown,
        lag(e.to_status) over w as before, lead(e.id) over w is null as newest
    from payment_events e
    join payment_queue p on p.id = e.payment_id and p.chain_id = $1
    left join payment_transitions t on t.from_status = e.from_status and t.to_status = e.to_status
    window w as (partition by e.payment_id order by e.id)
), journals as (
    select payment_id, max(to_status) filter (where newest) as ends,
        bool_or(unknown or before is not null and from_status is distinct from before) as wrong
    from steps group by payment_id
)
select p.id from payment_queue p
left join journals j on j.payment_id = p.id
where p.chain_id = $1 and p.duplicate_of is null
    and (j.ends is distinct from p.status or j.wrong)
