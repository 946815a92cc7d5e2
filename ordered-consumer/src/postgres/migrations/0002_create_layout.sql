-- Among how many streams a broker spreads a topic's entities: streams numbered below `admitted` may be consumed. `waiting`
-- has the number of streams after each change whose streams still wait, four bytes each, big endian, ascending.

create table layout (
    consumer_id bigint not null,
    generation bigint not null,
    admitted bigint not null,
    name bytea not null,
    identity bytea,
    waiting bytea not null,
    primary key (consumer_id, name)
);
