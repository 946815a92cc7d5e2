-- Keys, ids, types, headers and payloads are blobs: they may be any bytes. Indexes and claims are 16 bytes, big endian,
-- so that they sort as numbers. Times are microseconds since 1970 unless a comment says otherwise.

create table consumer (
    consumer_id integer primary key,
    name text not null unique
) strict;

-- `recorded` is 0 for a stream that nobody has taken over yet: it is here for its gates alone.
create table stream (
    stream_id integer primary key,
    consumer_id integer not null references consumer,
    name text not null,
    recorded integer not null,
    identity blob,
    generation integer not null,
    settled blob,
    clean integer not null,
    uncommitted_max integer not null,
    unique (consumer_id, name)
) strict;

-- `consumer_id` repeats the stream's, so that one index finds what is due for a consumer.
-- The failures are JSON, for people who look with the sqlite3 shell.
create table gate (
    gate_id integer primary key,
    consumer_id integer not null,
    stream_id integer not null references stream,
    entity blob not null,
    resolved blob,
    head blob,
    released blob,
    attempts integer not null,
    due_at integer,
    claim blob,
    parked text,
    run_was_lost integer not null,
    takes integer not null,
    held_events integer not null,
    held_bytes integer not null,
    conflicts integer not null,
    version integer not null,
    since integer not null,
    first_failure text,
    last_failure text
) strict;

create unique index gate_key on gate (stream_id, entity);
create index gate_due on gate (consumer_id, due_at) where due_at is not null;
create index gate_parked on gate (stream_id, entity) where parked is not null;
create index gate_paused on gate (stream_id, entity) where parked = 'operator';
create index gate_tombstone_resolved on gate (stream_id, resolved)
    where head is null and parked is null and conflicts = 0;
create index gate_tombstone_since on gate (stream_id, since)
    where head is null and parked is null and conflicts = 0;

-- A table with row ids: payloads are appended, and the order of an entity's events is found in the small index alone.
-- `digest` and `bytes` are the original's, also after an edit; `time` is in nanoseconds. `edited` is 1 after an edit,
-- and the event as it came is in `original` then.
create table event (
    event_id integer primary key,
    stream_id integer not null references stream,
    entity blob not null,
    idx blob not null,
    digest blob not null,
    bytes integer not null,
    time integer,
    id blob,
    event_type blob,
    headers blob not null,
    payload blob,
    edited integer not null default 0
) strict;

create unique index event_key on event (stream_id, entity, idx);

-- Events that came at the index of another one in the log: kept beside it.
create table conflict (
    conflict_id integer primary key,
    stream_id integer not null references stream,
    entity blob not null,
    idx blob not null,
    digest blob not null,
    bytes integer not null,
    time integer,
    id blob,
    event_type blob,
    headers blob not null,
    payload blob
) strict;

create unique index conflict_key on conflict (stream_id, entity, idx, digest);

-- Appended to, and dropped when it is old. It names the stream as it was called then. `outcome` is JSON, and so are
-- `before` and `after`, what an operator found and left behind.
create table audit (
    audit_id integer primary key,
    consumer_id integer not null references consumer,
    stream text not null,
    entity blob not null,
    at integer not null,
    action text not null,
    idx blob,
    actor text not null,
    why text not null,
    request_id text,
    outcome text not null,
    before text,
    after text
) strict;

create index audit_latest on audit (consumer_id, audit_id);
create index audit_age on audit (consumer_id, at);
create index audit_entity on audit (consumer_id, stream, entity, audit_id);
create unique index audit_request on audit (consumer_id, stream, entity, request_id) where request_id is not null;

-- The one counter that versions come from: the first that no process has reserved yet.
create table counter (
    counter_id integer primary key check (counter_id = 1),
    next_version integer not null
) strict;

insert into counter (counter_id, next_version) values (1, 1);

-- Events as they came, before an operator edited them for the first time.
create table original (
    original_id integer primary key,
    consumer_id integer not null references consumer,
    stream_id integer not null references stream,
    entity blob not null,
    idx blob not null,
    kept_at integer not null,
    time integer,
    id blob,
    event_type blob,
    headers blob not null,
    payload blob
) strict;

create unique index original_key on original (stream_id, entity, idx);
create index original_age on original (consumer_id, kept_at);
