select stream, entity, at, action, idx, actor, why, request_id, outcome, before, after
from audit where consumer_id = ? order by audit_id desc limit ?
