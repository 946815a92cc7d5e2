insert into conflict (stream_id, entity, idx, digest, bytes, time, id, event_type, headers, payload)
select * from unnest(
    $1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[], $6::bigint[], $7::bytea[], $8::bytea[],
    $9::bytea[], $10::bytea[]
)
on conflict do nothing
