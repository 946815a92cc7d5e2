with gone (stream_id, entity, through) as (values {rows})
delete from event where event_id in (
    select e.event_id from gone
    cross join event e on e.stream_id = gone.stream_id and e.entity = gone.entity and e.idx <= gone.through
)
