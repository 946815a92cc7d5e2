and g.entity >= $6 and g.entity < $7
and case
    when $2::bytea is null then g.head is not null or g.parked is not null
    else $2 = case
        when g.head is null and g.parked is null then 'cleared'::bytea
        when g.head is null then 'paused'
        when g.parked is not null then 'parked'
        when g.claim is not null then 'running'
        else 'waiting'
    end
end
and ($8::bytea is null or g.parked = $8)
and ($9::bigint is null or coalesce(g.first_failed_at, g.since) < coalesce($10::bigint, (extract(epoch from statement_timestamp()) * 1000000)::bigint) - $9)
and ($11::bytea is null or g.error_class = $11)
and ($12::bytea is null or $12 = (
    select e.event_type from event e where e.stream_id = g.stream_id and e.entity = g.entity and e.idx = g.head
))
