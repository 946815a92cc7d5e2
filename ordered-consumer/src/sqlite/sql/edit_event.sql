update event set payload = ?, headers = ? where stream_id = ? and entity = ? and idx = ?
