select
    cast(case ?12
        when 'state' then case
            when g.head is null and g.parked is null then 'cleared'
            when g.head is null then 'paused'
            when g.parked is not null then 'parked'
            when g.claim is not null then 'running'
            else 'waiting'
        end
        when 'cause' then g.parked
        when 'error_class' then g.last_failure ->> '$.class'
        when 'event_type' then (
            select e.event_type from event e
            where e.stream_id = g.stream_id and e.entity = g.entity and e.idx = g.head
        )
        when 'stream' then s.name
    end as blob) as name,
    count(*) as entities,
    sum(g.held_events) as held_events,
    sum(count(*)) over () as entities_total,
    sum(sum(g.held_events)) over () as held_events_total
