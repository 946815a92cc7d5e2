-- Stream by stream, in the order of their names, each no further than the page can reach.
select
    coalesce($10::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) as now,
    s.name as stream, g.*
from (
    select stream_id, name from stream
    where consumer_id = $1 and ($4::bytea is null or name > $4) and ($5::bytea is null or name = $5)
    order by name
) s
cross join lateral (
    select
        g.entity,
        g.resolved, g.head, g.released, g.tail, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
    from gate g
    where g.stream_id = s.stream_id
