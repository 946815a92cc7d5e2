update stream set name = $1, recorded = true where stream_id = $2
