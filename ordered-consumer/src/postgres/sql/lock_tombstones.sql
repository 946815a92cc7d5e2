-- What may be dropped is decided by the protocol, from the rows as they are under their locks.
select
    g.entity,
    g.resolved, g.head, g.released, g.tail, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
from unnest($2::bytea[]) as a (entity)
join gate g on g.stream_id = $1 and g.entity = a.entity
order by g.entity
for update of g skip locked
