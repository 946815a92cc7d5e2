select entity from gate indexed by gate_key where stream_id = ? and entity > ? order by entity limit ?
