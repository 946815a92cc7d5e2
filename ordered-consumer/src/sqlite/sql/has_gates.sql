select exists (select 1 from gate where stream_id = ?) as found
