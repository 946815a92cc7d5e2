insert or ignore into conflict (stream_id, entity, idx, digest, bytes, time, id, event_type, headers, payload)
select * from (values {rows}) where column1 is not null
