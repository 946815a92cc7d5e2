select u.position, e.idx, e.time, e.id, e.event_type, e.headers, e.payload
from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[]) as u (position, stream_id, entity, idx)
join event e on e.stream_id = u.stream_id and e.entity = u.entity and e.idx = u.idx
