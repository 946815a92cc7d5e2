update stream set recorded = true, identity = $1, generation = $2, settled = $3, clean = $4, uncommitted_max = $5
where stream_id = $6
