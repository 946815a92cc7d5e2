insert into stream (consumer_id, name, recorded, identity, generation, settled, clean, uncommitted_max)
values (?, ?, ?, ?, ?, ?, ?, ?)
returning stream_id
