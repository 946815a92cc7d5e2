select stream_id, recorded, identity, generation, settled, clean, uncommitted_max
from stream where consumer_id = ? and name = ?
