select entity from gate indexed by gate_paused
where stream_id = ? and parked = 'operator' and entity > ? order by entity limit ?
