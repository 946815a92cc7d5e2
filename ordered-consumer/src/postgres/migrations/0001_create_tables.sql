-- Names, keys, ids, texts, headers and payloads are bytea: they may be any bytes, in a database of any encoding, and sort
-- byte by byte whatever its collation. Indexes and claims are 16 bytes, big endian, so that they sort as numbers. Times
-- are microseconds since 1970 unless a comment says otherwise.
-- There are no foreign keys: each would cost a look-up and a lock for every event held, and every write of these tables
-- is made under the lock of its gate or stream.

create table consumer (
    consumer_id bigint generated always as identity primary key,
    name bytea not null unique
);

-- `recorded` is false for a stream that nobody has taken over yet: it is here for its gates alone.
create table stream (
    stream_id bigint generated always as identity primary key,
    consumer_id bigint not null,
    generation bigint not null,
    uncommitted_max bigint not null,
    recorded boolean not null,
    clean boolean not null,
    name bytea not null,
    identity bytea,
    settled bytea,
    unique (consumer_id, name)
) with (fillfactor = 50);

-- `consumer_id` repeats the stream's, so that one index finds what is due for a consumer. `tail` is an index that no
-- logged event of the entity lies beyond, so that what comes after it need not be looked for in the log. The failures are
-- JSON; the first one's time and the last one's class are repeated beside them, to be asked for. A hold changes none of the columns that an index names, and finds room on its page: it touches no index.
create table gate (
    stream_id bigint not null,
    consumer_id bigint not null,
    attempts bigint not null,
    due_at bigint,
    takes bigint not null,
    held_events bigint not null,
    held_bytes bigint not null,
    conflicts bigint not null,
    version bigint not null,
    since bigint not null,
    first_failed_at bigint,
    run_was_lost boolean not null,
    entity bytea not null,
    resolved bytea,
    head bytea,
    released bytea,
    tail bytea,
    claim bytea,
    parked bytea,
    first_failure bytea,
    last_failure bytea,
    error_class bytea,
    primary key (stream_id, entity)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);

create index gate_due on gate (consumer_id, due_at) where due_at is not null;
create index gate_parked on gate (stream_id, entity) where parked is not null;
create index gate_paused on gate (stream_id, entity) where parked = 'operator';
create index gate_tombstone_resolved on gate (stream_id, resolved)
    where head is null and parked is null and conflicts = 0;
create index gate_tombstone_since on gate (stream_id, since)
    where head is null and parked is null and conflicts = 0;

-- `digest` and `bytes` are the original's, also after an edit; `time` is in nanoseconds. `edited` says that the event as
-- it came is in `original`.
create table event (
    stream_id bigint not null,
    bytes bigint not null,
    time bigint,
    edited boolean not null default false,
    entity bytea not null,
    idx bytea not null,
    digest bytea not null,
    id bytea,
    event_type bytea,
    headers bytea not null,
    payload bytea,
    primary key (stream_id, entity, idx)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.5);

-- Events that came at the index of another one in the log: kept beside it.
create table conflict (
    stream_id bigint not null,
    bytes bigint not null,
    time bigint,
    entity bytea not null,
    idx bytea not null,
    digest bytea not null,
    id bytea,
    event_type bytea,
    headers bytea not null,
    payload bytea,
    primary key (stream_id, entity, idx, digest)
);

-- Events as they came, before an operator edited them for the first time.
create table original (
    stream_id bigint not null,
    consumer_id bigint not null,
    kept_at bigint not null,
    time bigint,
    entity bytea not null,
    idx bytea not null,
    id bytea,
    event_type bytea,
    headers bytea not null,
    payload bytea,
    primary key (stream_id, entity, idx)
);

create index original_age on original (consumer_id, kept_at);

-- Appended to, and dropped when it is old. It names the stream as it was called then. `outcome` is JSON, and so are
-- `before` and `after`, what an operator found and left behind.
create table audit (
    audit_id bigint generated always as identity primary key,
    consumer_id bigint not null,
    at bigint not null,
    stream bytea not null,
    entity bytea not null,
    action bytea not null,
    idx bytea,
    actor bytea not null,
    why bytea not null,
    request_id bytea,
    outcome bytea not null,
    before bytea,
    after bytea
);

create index audit_latest on audit (consumer_id, audit_id);
create index audit_age on audit (consumer_id, at, audit_id);
create index audit_entity on audit (consumer_id, stream, entity, audit_id);
-- Hashed, because names, keys and request ids together may be longer than an index takes.
create unique index audit_request on audit (consumer_id, sha256(stream), sha256(entity), sha256(request_id))
    where request_id is not null;

-- The one counter that versions come from: the first that no process has reserved yet.
create table counter (next_version bigint not null);

insert into counter (next_version) values (1);
