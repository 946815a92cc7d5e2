select stream_id, recorded, identity, generation, settled, clean, uncommitted_max
from stream where consumer_id = $1 and name = $2
for update
