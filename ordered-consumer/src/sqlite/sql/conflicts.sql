-- The bytes are summed over the index's first rows, so that no payload is read that is not returned.
with window_of (conflict_id, idx, digest, beyond) as (
    select
        conflict_id, idx, digest,
        sum(bytes) over (order by idx, digest) - first_value(bytes) over (order by idx, digest)
    from (
        select conflict_id, idx, digest, bytes from conflict
        where stream_id = ? and entity = ? and (idx, digest) > (?, ?)
        order by idx, digest limit ?
    )
)
select c.idx, c.time, c.id, c.event_type, c.headers, c.payload
from window_of w
cross join conflict c on c.conflict_id = w.conflict_id
where w.beyond <= ?
order by w.idx, w.digest
