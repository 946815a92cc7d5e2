-- In the order of the keys, as gates are locked. Whoever comes second waits here, inserts less than was asked for, and
-- decides anew.
insert into gate (
    stream_id, consumer_id, entity, resolved, head, released, tail, attempts, due_at, claim, parked, run_was_lost, takes,
    held_events, held_bytes, conflicts, version, since, first_failure, last_failure, first_failed_at, error_class
)
select
    u.stream_id, $22::bigint, u.entity, u.resolved, u.head, u.released, u.tail, u.attempts, u.due_at, u.claim, u.parked,
    u.run_was_lost, u.takes, u.held_events, u.held_bytes, u.conflicts, u.version, u.since, u.first_failure,
    u.last_failure, u.first_failed_at, u.error_class
from unnest(
    $1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bigint[],
    $9::bytea[], $10::bytea[], $11::boolean[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bigint[], $17::bigint[], $18::bytea[], $19::bytea[],
    $20::bigint[], $21::bytea[]
) as u (
    stream_id, entity, resolved, head, released, tail, attempts, due_at, claim, parked, run_was_lost, takes,
    held_events, held_bytes, conflicts, version, since, first_failure, last_failure, first_failed_at, error_class
)
order by u.stream_id, u.entity
on conflict (stream_id, entity) do nothing
