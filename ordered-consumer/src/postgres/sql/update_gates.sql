update gate g set
    resolved = u.resolved, head = u.head, released = u.released, tail = u.tail, attempts = u.attempts,
    due_at = u.due_at, claim = u.claim, parked = u.parked, run_was_lost = u.run_was_lost, takes = u.takes,
    held_events = u.held_events, held_bytes = u.held_bytes, conflicts = u.conflicts, version = u.version,
    since = u.since, first_failure = u.first_failure, last_failure = u.last_failure,
    first_failed_at = u.first_failed_at, error_class = u.error_class
from unnest(
    $1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bigint[],
    $9::bytea[], $10::bytea[], $11::boolean[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bigint[], $17::bigint[], $18::bytea[], $19::bytea[],
    $20::bigint[], $21::bytea[]
) as u (
    stream_id, entity, resolved, head, released, tail, attempts, due_at, claim, parked, run_was_lost, takes,
    held_events, held_bytes, conflicts, version, since, first_failure, last_failure, first_failed_at, error_class
)
where g.stream_id = u.stream_id and g.entity = u.entity
