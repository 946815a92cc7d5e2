update stream set name = ?, recorded = 1 where stream_id = ?
