insert into gate (
    consumer_id, stream_id, entity, resolved, head, released, attempts, due_at, claim, parked, run_was_lost, takes,
    held_events, held_bytes, conflicts, version, since, first_failure, last_failure
)
select * from (values {rows}) where column1 is not null
on conflict (stream_id, entity) do update set
    resolved = excluded.resolved, head = excluded.head, released = excluded.released, attempts = excluded.attempts,
    due_at = excluded.due_at, claim = excluded.claim, parked = excluded.parked,
    run_was_lost = excluded.run_was_lost, takes = excluded.takes, held_events = excluded.held_events,
    held_bytes = excluded.held_bytes, conflicts = excluded.conflicts, version = excluded.version,
    since = excluded.since, first_failure = excluded.first_failure, last_failure = excluded.last_failure
