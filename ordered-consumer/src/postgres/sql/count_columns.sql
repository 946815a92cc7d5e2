select
    case $13::bytea
        when 'state' then case
        when g.head is null and g.parked is null then 'cleared'::bytea
        when g.head is null then 'paused'
        when g.parked is not null then 'parked'
        when g.claim is not null then 'running'
        else 'waiting'
    end
        when 'cause' then g.parked
        when 'error_class' then g.error_class
        when 'event_type' then (
            select e.event_type from event e
            where e.stream_id = g.stream_id and e.entity = g.entity and e.idx = g.head
        )
        when 'stream' then s.name
    end as name,
    count(*) as entities,
    sum(g.held_events)::bigint as held_events,
    sum(count(*)) over ()::bigint as entities_total,
    sum(sum(g.held_events)) over ()::bigint as held_events_total
from stream s
join gate g on g.stream_id = s.stream_id
where s.consumer_id = $1 and ($4::bytea is null or s.name > $4) and ($5::bytea is null or s.name = $5)
