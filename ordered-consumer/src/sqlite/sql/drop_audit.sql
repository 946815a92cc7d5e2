delete from audit where audit_id in (
    select audit_id from audit where consumer_id = ? and at < ? order by at, audit_id limit ?
)
