delete from original d
using (
    select o.stream_id, o.entity, o.idx from original o
    where o.consumer_id = $1 and o.kept_at < $2 and not exists (
        select 1 from event e where e.stream_id = o.stream_id and e.entity = o.entity and e.idx = o.idx
    )
    order by o.kept_at limit $3
    for update of o skip locked
) old
where d.stream_id = old.stream_id and d.entity = old.entity and d.idx = old.idx
