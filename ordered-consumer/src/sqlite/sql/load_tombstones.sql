-- Three looks into two indexes; what may be dropped is decided by the protocol, from the rows.
with found (gate_id) as (
    select * from (
        select gate_id from gate
        where stream_id = ?1 and head is null and parked is null and conflicts = 0 and resolved is null
        limit ?4
    )
    union
    select * from (
        select gate_id from gate
        where stream_id = ?1 and head is null and parked is null and conflicts = 0 and resolved <= ?2
        limit ?4
    )
    union
    select * from (
        select gate_id from gate
        where stream_id = ?1 and head is null and parked is null and conflicts = 0 and since < ?3
        limit ?4
    )
)
select
    g.gate_id,
    g.resolved, g.head, g.released, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
from found
cross join gate g on g.gate_id = found.gate_id
limit ?4
