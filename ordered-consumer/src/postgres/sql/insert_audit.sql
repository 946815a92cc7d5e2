insert into audit (consumer_id, at, stream, entity, action, idx, actor, why, request_id, outcome, before, after)
select $1::bigint, $2::bigint, u.* from unnest(
    $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[], $8::bytea[], $9::bytea[], $10::bytea[],
    $11::bytea[], $12::bytea[]
) as u
