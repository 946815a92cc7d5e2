-- Only the first edit of an event finds it as it came.
insert or replace into original (
    consumer_id, stream_id, entity, idx, kept_at, time, id, event_type, headers, payload
)
select ?, stream_id, entity, idx, ?, time, id, event_type, headers, payload
from event where stream_id = ? and entity = ? and idx = ? and edited = 0
