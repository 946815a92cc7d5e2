delete from gate where stream_id = ? and entity = ?
