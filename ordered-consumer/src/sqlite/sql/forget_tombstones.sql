delete from gate where stream_id = ? and head is null and parked is null and conflicts = 0
