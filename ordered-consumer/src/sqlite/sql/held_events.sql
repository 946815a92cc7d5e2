-- The bytes are summed over the index's first rows, so that no payload is read that is not returned.
with window_of (event_id, idx, beyond) as (
    select event_id, idx, sum(bytes) over (order by idx) - first_value(bytes) over (order by idx)
    from (
        select event_id, idx, bytes from event
        where stream_id = ? and entity = ? and idx >= ? and idx <= ?
        order by idx limit ?
    )
)
select e.idx, e.time, e.id, e.event_type, e.headers, e.payload
from window_of w
cross join event e on e.event_id = w.event_id
where w.beyond <= ?
order by w.idx
