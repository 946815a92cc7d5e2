delete from event e
using unnest($1::bigint[], $2::bytea[], $3::bytea[]) as u (stream_id, entity, through)
where e.stream_id = u.stream_id and e.entity = u.entity and e.idx <= u.through
