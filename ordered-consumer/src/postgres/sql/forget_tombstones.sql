delete from gate where stream_id = $1 and head is null and parked is null and conflicts = 0
