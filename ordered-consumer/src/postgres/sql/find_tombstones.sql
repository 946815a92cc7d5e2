-- Three looks into two indexes.
select entity from (
    (select entity from gate
        where stream_id = $1 and head is null and parked is null and conflicts = 0 and resolved is null
        limit $4)
    union
    (select entity from gate
        where stream_id = $1 and head is null and parked is null and conflicts = 0 and resolved <= $2
        limit $4)
    union
    (select entity from gate
        where stream_id = $1 and head is null and parked is null and conflicts = 0 and since < $3
        limit $4)
) found
order by entity
limit $4
