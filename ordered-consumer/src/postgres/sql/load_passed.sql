select
    a.position, passed.events as passed_events, passed.bytes as passed_bytes,
    (select e.idx from event e
        where e.stream_id = a.stream_id and e.entity = a.entity and e.idx <= a.bound
        order by e.idx desc limit 1) as passed_last,
    (select e.idx from event e
        where e.stream_id = a.stream_id and e.entity = a.entity and e.idx > a.bound
        order by e.idx limit 1) as next,
    -- The window's end is of use only where nothing released is left.
    case when exists (
        select 1 from event e
        where e.stream_id = a.stream_id and e.entity = a.entity and e.idx > a.bound and e.idx <= a.released
    ) then null else (
        select w.idx from (
            select e.idx from event e
            where e.stream_id = a.stream_id and e.entity = a.entity and e.idx > a.bound
            order by e.idx limit $6
        ) w order by w.idx desc limit 1
    ) end as window_end
from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[])
    as a (position, stream_id, entity, bound, released)
cross join lateral (
    select count(*) as events, coalesce(sum(e.bytes), 0)::bigint as bytes from event e
    where e.stream_id = a.stream_id and e.entity = a.entity and e.idx <= a.bound
) passed
