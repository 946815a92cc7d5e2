update stream set recorded = 1, identity = ?, generation = ?, settled = ?, clean = ?, uncommitted_max = ?
where stream_id = ?
