select
    count(*) filter (where head is not null or parked is not null) as gated_entities,
    count(*) filter (where parked is not null) as parked_entities,
    coalesce(sum(held_events), 0) as held_events,
    coalesce(sum(held_bytes), 0) as held_bytes,
    min(since) filter (where head is not null) as held_since
from gate where consumer_id = ?
