with asked (position, stream_id, entity, bound, released) as (values {rows})
select
    asked.position,
    (select count(*) from event e
        where e.stream_id = asked.stream_id and e.entity = asked.entity and e.idx <= asked.bound) as passed_events,
    (select coalesce(sum(e.bytes), 0) from event e
        where e.stream_id = asked.stream_id and e.entity = asked.entity and e.idx <= asked.bound) as passed_bytes,
    (select max(e.idx) from event e
        where e.stream_id = asked.stream_id and e.entity = asked.entity and e.idx <= asked.bound) as passed_last,
    (select min(e.idx) from event e
        where e.stream_id = asked.stream_id and e.entity = asked.entity and e.idx > asked.bound) as next,
    -- The window's end is of use only where nothing released is left.
    case when exists (
        select 1 from event e
        where e.stream_id = asked.stream_id and e.entity = asked.entity
            and e.idx > asked.bound and e.idx <= asked.released
    ) then null else (
        select max(w.idx) from (
            select e.idx from event e
            where e.stream_id = asked.stream_id and e.entity = asked.entity and e.idx > asked.bound
            order by e.idx limit ?
        ) w
    ) end as window_end
from asked
where asked.position is not null
