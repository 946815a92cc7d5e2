select entity from gate where stream_id = $1 and parked = 'operator' and entity > $2 order by entity limit $3
