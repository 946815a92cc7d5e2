-- The time is read first, so that what is reckoned from it is rather too early than too late.
with moment (now) as materialized (select coalesce($2::bigint, (extract(epoch from clock_timestamp()) * 1000000)::bigint)),
gated as (
    select a.position
    from moment m
    join stream s on s.consumer_id = $1 and s.name = $3
    join unnest($4::bytea[]) with ordinality as a (entity, position) on true
    join gate g on g.stream_id = s.stream_id and g.entity = a.entity
)
select m.now, g.position - 1 as position from moment m left join gated g on true
