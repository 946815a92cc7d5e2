with asked (position, entity) as (values {rows})
select asked.position
from asked
cross join stream s on s.consumer_id = ? and s.name = ?
cross join gate g on g.stream_id = s.stream_id and g.entity = asked.entity
where asked.position is not null
