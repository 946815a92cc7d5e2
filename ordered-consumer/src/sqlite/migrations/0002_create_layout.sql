-- Among how many streams a broker spreads a topic's entities: streams numbered below `admitted` may be consumed. `waiting`
-- has the number of streams after each change whose streams still wait, four bytes each, big endian, ascending.

create table layout (
    consumer_id integer not null references consumer,
    name text not null,
    identity blob,
    generation integer not null,
    admitted integer not null,
    waiting blob not null,
    primary key (consumer_id, name)
) strict, without rowid;
