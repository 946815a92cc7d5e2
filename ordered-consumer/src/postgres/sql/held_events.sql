-- The bytes are summed before any payload is read that is not returned.
with beyond (idx, bytes) as materialized (
    select idx, sum(bytes) over (order by idx) - first_value(bytes) over (order by idx)
    from (
        select idx, bytes from event
        where stream_id = $1 and entity = $2 and idx >= $3 and idx <= $4
        order by idx limit $5
    ) w
)
select e.idx, e.time, e.id, e.event_type, e.headers, e.payload
from beyond b
join event e on e.stream_id = $1 and e.entity = $2 and e.idx = b.idx
where b.bytes <= $6
order by b.idx
