select exists (
    select 1 from stream join gate using (stream_id)
    where stream.consumer_id = $1 and stream.name = $2 and gate.head <= $3
) as found
