-- In the order of the keys, as batches lock them.
select entity from gate
where stream_id = $1 and head is null
order by stream_id, entity
for update
