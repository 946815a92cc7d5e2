select stream, entity, at, action, idx, actor, why, request_id, outcome, before, after
from audit where consumer_id = $1 and stream = $2 and entity = $3 order by audit_id desc limit $4
