select idx, time, id, event_type, headers, payload
from original where stream_id = ? and entity = ? and idx = ?
