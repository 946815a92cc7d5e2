with asked (position, stream, entity, request_id) as (values {rows})
select asked.position, a.outcome
from asked
cross join audit a
    on a.consumer_id = ? and a.stream = asked.stream and a.entity = asked.entity and a.request_id = asked.request_id
where asked.position is not null
