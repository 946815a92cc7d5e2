update gate set resolved = null
where stream_id = $1 and head is null and (parked is not null or conflicts > 0)
