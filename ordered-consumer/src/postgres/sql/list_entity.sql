select
    coalesce($4::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now,
    s.name as stream, g.entity,
    g.resolved, g.head, g.released, g.tail, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
from stream s
join gate g on g.stream_id = s.stream_id and g.entity = $5
where s.consumer_id = $1 and (s.name, g.entity) > ($6, $7) and ($8::bytea is null or s.name = $8) and case
    when $2::bytea is null then g.head is not null or g.parked is not null
    else $2::bytea = case
        when g.head is null and g.parked is null then 'cleared'::bytea
        when g.head is null then 'paused'
        when g.parked is not null then 'parked'
        when g.claim is not null then 'running'
        else 'waiting'
    end
end
order by s.name, g.entity
limit $3
