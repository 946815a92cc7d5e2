insert into audit (consumer_id, stream, entity, at, action, idx, actor, why, request_id, outcome, before, after)
select * from (values {rows}) where column1 is not null
