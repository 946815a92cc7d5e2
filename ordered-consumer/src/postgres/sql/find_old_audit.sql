(select 1 as found from audit where consumer_id = $1 and at < $2 limit 1)
union all
(select 1 from original o where o.consumer_id = $1 and o.kept_at < $2 and not exists (
    select 1 from event e where e.stream_id = o.stream_id and e.entity = o.entity and e.idx = o.idx
) limit 1)
