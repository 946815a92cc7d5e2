delete from conflict where stream_id = $1 and entity = $2 and idx = $3 and ($4::bytea is null or digest = $4)
