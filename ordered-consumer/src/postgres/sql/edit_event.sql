update event set payload = $1, headers = $2, edited = true where stream_id = $3 and entity = $4 and idx = $5
