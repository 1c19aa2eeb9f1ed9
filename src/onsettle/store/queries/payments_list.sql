select * from payment_queue
where ($1::text is null or status = $1) and ($2::text is null or payer = $2)
    and ($3::timestamptz is null or (created_at, id) < ($3, $4::uuid))
order by created_at desc, id desc limit $5
