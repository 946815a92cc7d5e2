select entity from gate where stream_id = $1 and entity > $2 order by entity limit $3
