select stream, entity, at, action, idx, actor, why, request_id, outcome, before, after
from audit where consumer_id = $1 order by audit_id desc limit $2
