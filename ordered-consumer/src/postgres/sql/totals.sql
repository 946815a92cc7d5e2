select
    coalesce($2::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint) as now,
    count(*) filter (where head is not null or parked is not null) as gated_entities,
    count(*) filter (where parked is not null) as parked_entities,
    coalesce(sum(held_events), 0)::bigint as held_events,
    coalesce(sum(held_bytes), 0)::bigint as held_bytes,
    min(since) filter (where head is not null) as held_since
from gate where consumer_id = $1
