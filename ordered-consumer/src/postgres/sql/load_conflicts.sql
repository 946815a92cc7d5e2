select a.position, count(*) as conflicts_named
from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[])
    as a (position, stream_id, entity, idx, digest)
join conflict c on c.stream_id = a.stream_id and c.entity = a.entity and c.idx = a.idx
    and (a.digest is null or c.digest = a.digest)
group by a.position
