update event set payload = ?, headers = ?, edited = 1 where stream_id = ? and entity = ? and idx = ?
