-- The bytes are summed before any payload is read that is not returned.
with beyond (idx, digest, bytes) as materialized (
    select
        idx, digest, sum(bytes) over (order by idx, digest) - first_value(bytes) over (order by idx, digest)
    from (
        select idx, digest, bytes from conflict
        where stream_id = $1 and entity = $2 and (idx, digest) > ($3, $4)
        order by idx, digest limit $5
    ) w
)
select c.idx, c.time, c.id, c.event_type, c.headers, c.payload
from beyond b
join conflict c on c.stream_id = $1 and c.entity = $2 and c.idx = b.idx and c.digest = b.digest
where b.bytes <= $6
order by b.idx, b.digest
