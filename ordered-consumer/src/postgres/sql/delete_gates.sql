delete from gate g
using unnest($1::bigint[], $2::bytea[]) as u (stream_id, entity)
where g.stream_id = u.stream_id and g.entity = u.entity
