-- No index has these columns, so a hold leaves every index of the gates as it is. The plus signs keep the planner from
-- indexing the few changed rows and reading the whole table of gates for them.
with changed (stream_id, entity, held_events, held_bytes) as (values {rows})
update gate set held_events = changed.held_events, held_bytes = changed.held_bytes
from changed
where gate.stream_id = +changed.stream_id and gate.entity = +changed.entity
