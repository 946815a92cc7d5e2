select a.position, u.outcome
from unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[]) as a (position, stream, entity, request_id)
join audit u on u.consumer_id = $1 and sha256(u.stream) = sha256(a.stream)
    and sha256(u.entity) = sha256(a.entity) and sha256(u.request_id) = sha256(a.request_id)
where u.request_id is not null
