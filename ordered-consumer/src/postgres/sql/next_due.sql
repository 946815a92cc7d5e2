select
    coalesce($2::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now,
    (select min(due_at) from gate where consumer_id = $1 and due_at is not null) as due_at
