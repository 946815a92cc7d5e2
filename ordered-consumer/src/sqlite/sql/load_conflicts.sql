with asked (position, stream_id, entity, idx, digest) as (values {rows})
select asked.position, count(*) as conflicts_named
from asked
cross join conflict c
    on c.stream_id = asked.stream_id and c.entity = asked.entity and c.idx = asked.idx
    and (asked.digest is null or c.digest = asked.digest)
where asked.position is not null
group by asked.position
