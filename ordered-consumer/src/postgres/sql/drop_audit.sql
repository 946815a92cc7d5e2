delete from audit where audit_id in (
    select audit_id from audit where consumer_id = $1 and at < $2 order by at, audit_id limit $3 for update skip locked
)
