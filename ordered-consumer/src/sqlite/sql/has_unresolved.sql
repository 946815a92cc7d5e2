select exists (
    select 1 from stream join gate using (stream_id)
    where stream.consumer_id = ? and stream.name = ? and gate.head <= ?
) as found
