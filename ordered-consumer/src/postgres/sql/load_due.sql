-- What another relay or a batch has locked is left to it: taking waits for nobody.
with moment (now) as materialized (select coalesce($2::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint)),
due as materialized (
    select
        g.stream_id, g.entity,
        g.resolved, g.head, g.released, g.tail, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
    from gate g
    where g.consumer_id = $1 and g.due_at <= (select now from moment)
    order by g.due_at
    limit $3
    for update of g skip locked
)
select m.now, g.*, s.name as stream
from moment m
left join due g on true
left join stream s on s.stream_id = g.stream_id
order by g.due_at
