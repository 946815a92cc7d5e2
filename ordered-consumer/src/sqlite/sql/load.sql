with asked (position, is_first, stream, entity, idx, digest) as (values {rows})
select
    asked.position, asked.is_first,
    s.stream_id, s.recorded, s.identity, s.generation, s.settled, s.clean, s.uncommitted_max,
    e.digest as logged_digest,
    e.digest is not null and exists (
        select 1 from conflict c
        where c.stream_id = s.stream_id and c.entity = asked.entity and c.idx = asked.idx and c.digest = asked.digest
    ) as conflict_known,
    g.resolved, g.head, g.released, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
from asked
left join stream s on s.consumer_id = ? and s.name = asked.stream
left join gate g on asked.is_first = 1 and g.stream_id = s.stream_id and g.entity = asked.entity
left join event e on e.stream_id = s.stream_id and e.entity = asked.entity and e.idx = asked.idx
where asked.position is not null
