insert into stream (consumer_id, name, recorded, identity, generation, settled, clean, uncommitted_max)
values ($1, $2, $3, $4, $5, $6, $7, $8)
on conflict (consumer_id, name) do nothing
returning stream_id
