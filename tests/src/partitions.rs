//! Where the in-memory broker puts entities.

#![expect(clippy::unwrap_used, reason = "a broker in memory that cannot be asked ends its test")]

use ordered_consumer::in_memory_broker::InMemoryBroker;

use crate::world::TOPIC;

/// Which partition of so many an entity belongs to.
///
/// # Panics
/// When the broker refuses.
#[must_use]
pub fn partition_of(entity: &str, partitions: u32) -> u32 {
    let broker = InMemoryBroker::new();
    broker.create_topic(TOPIC, partitions).unwrap();
    let (stream, _) = broker.publish(TOPIC, entity.to_owned(), "").unwrap();
    stream.as_str().rsplit_once('/').unwrap().1.parse().unwrap()
}

/// An entity that moves when there are so many partitions instead of so many, from and to these.
///
/// # Panics
/// When there is none of at most two letters.
#[must_use]
pub fn moving(before: u32, after: u32, (from, to): (u32, u32)) -> String {
    let names = ('a'..='z').flat_map(|one| ('a'..='z').map(move |other| format!("{one}{other}")));
    let mut names = names.chain(('a'..='z').map(String::from));
    names.find(|name| partition_of(name, before) == from && partition_of(name, after) == to).unwrap()
}
