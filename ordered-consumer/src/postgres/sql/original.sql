select idx, time, id, event_type, headers, payload
from original where stream_id = $1 and entity = $2 and idx = $3
