select exists (select 1 from gate where stream_id = $1) as found
