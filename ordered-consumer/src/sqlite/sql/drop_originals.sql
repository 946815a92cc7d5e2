delete from original where original_id in (
    select original_id from original o where o.consumer_id = ? and o.kept_at < ? and not exists (
        select 1 from event e where e.stream_id = o.stream_id and e.entity = o.entity and e.idx = o.idx
    )
    order by o.kept_at limit ?
)
