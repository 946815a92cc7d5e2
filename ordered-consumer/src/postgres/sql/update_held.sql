update gate g set held_events = u.held_events, held_bytes = u.held_bytes, tail = u.tail
from unnest($1::bigint[], $2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[])
    as u (stream_id, entity, held_events, held_bytes, tail)
where g.stream_id = u.stream_id and g.entity = u.entity
