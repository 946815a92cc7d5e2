-- Only the first edit of an event finds it as it came.
insert into original (consumer_id, kept_at, stream_id, entity, idx, time, id, event_type, headers, payload)
select $1, $2, stream_id, entity, idx, time, id, event_type, headers, payload
from event where stream_id = $3 and entity = $4 and idx = $5 and not edited
on conflict (stream_id, entity, idx) do update set
    consumer_id = excluded.consumer_id, kept_at = excluded.kept_at, time = excluded.time, id = excluded.id,
    event_type = excluded.event_type, headers = excluded.headers, payload = excluded.payload
