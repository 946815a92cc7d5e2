where s.consumer_id = ?1 and (?4 is null or s.name > ?4) and (?5 is null or s.name = ?5)
and g.entity >= ?6 and g.entity < ?7
and case
    when ?2 is null then g.head is not null or g.parked is not null
    else ?2 = case
        when g.head is null and g.parked is null then 'cleared'
        when g.head is null then 'paused'
        when g.parked is not null then 'parked'
        when g.claim is not null then 'running'
        else 'waiting'
    end
end
and (?8 is null or g.parked = ?8)
and (?9 is null or coalesce(g.first_failure ->> '$.at', g.since) < ?9)
and (?10 is null or g.last_failure ->> '$.class' = ?10)
and (?11 is null or ?11 = (
    select e.event_type from event e where e.stream_id = g.stream_id and e.entity = g.entity and e.idx = g.head
))
