with asked (position, stream_id, entity, idx) as (values {rows})
select asked.position, e.idx, e.time, e.id, e.event_type, e.headers, e.payload
from asked
cross join event e on e.stream_id = asked.stream_id and e.entity = asked.entity and e.idx = asked.idx
where asked.position is not null
