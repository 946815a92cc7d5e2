    order by g.stream_id, g.entity
    limit $3
) g
order by s.name, g.entity
limit $3
