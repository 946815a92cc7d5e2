select
    a.position - 1 as position, e.digest as logged_digest,
    exists (
        select 1 from conflict c
        where c.stream_id = a.stream_id and c.entity = a.entity and c.idx = a.idx and c.digest = a.digest
    ) as conflict_known
from unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[])
    with ordinality as a (stream_id, entity, idx, digest, position)
join event e on e.stream_id = a.stream_id and e.entity = a.entity and e.idx = a.idx
