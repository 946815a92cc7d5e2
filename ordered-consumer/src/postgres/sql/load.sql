-- Locks streams and gates and reads them as they are then. Everything else is read by later statements, whose snapshots
-- are taken under the locks: this one's may be older than what it waited for.
with named (name, guarded, nth) as materialized (
    select * from unnest($3::bytea[], $4::boolean[]) with ordinality
),
shared as materialized (
    select n.nth, s.stream_id, s.recorded, s.identity, s.generation, s.settled, s.clean, s.uncommitted_max
    from named n
    join stream s on s.consumer_id = $1 and s.name = n.name
    where n.guarded
    order by s.stream_id
    for share of s
),
found as materialized (
    select * from shared
    union all
    select n.nth, s.stream_id, s.recorded, s.identity, s.generation, s.settled, s.clean, s.uncommitted_max
    from named n
    join stream s on s.consumer_id = $1 and s.name = n.name
    where not n.guarded
),
locked as materialized (
    select
        f.nth, a.position,
        g.resolved, g.head, g.released, g.tail, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
    from unnest($5::bigint[], $6::bytea[]) with ordinality as a (nth, entity, position)
    join found f on f.nth = a.nth
    join gate g on g.stream_id = f.stream_id and g.entity = a.entity
    order by g.stream_id, g.entity
    for update of g
)
select
    coalesce($2::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now,
    f.nth, f.stream_id, coalesce(f.recorded, false) as recorded, f.identity, f.generation, f.settled, f.clean,
    f.uncommitted_max,
    g.position - 1 as position,
    g.resolved, g.head, g.released, g.tail, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
from (values (1)) as one (one)
left join found f on true
left join locked g on g.nth = f.nth
