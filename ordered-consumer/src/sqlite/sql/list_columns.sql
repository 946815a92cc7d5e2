select
    s.name as stream, g.entity,
    g.resolved, g.head, g.released, g.attempts, g.due_at, g.claim, g.parked, g.run_was_lost, g.takes,
    g.held_events, g.held_bytes, g.conflicts, g.version, g.since, g.first_failure, g.last_failure
