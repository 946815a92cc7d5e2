//! Entities that are seen in two partitions of a topic.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::{Mutex, PoisonError},
};

/// Entities remembered per topic: 4,096 of 24 bytes.
const SLOTS: usize = 4_096;
/// Topics remembered; what comes beyond is not looked at.
const TOPICS_MAX: usize = 64;

#[derive(Clone, Copy)]
struct Seen {
    entity: u64,
    key: Option<u64>,
    partition: i32,
}

/// Remembers where recent entities were, as fingerprints in a table of fixed size: a newer entity takes an older one's
/// slot. An entity function that is coarser than the record key shows itself, sooner or later, by an entity that is in
/// two partitions under two keys. One key in two partitions is something else: partitions were added, or a producer
/// partitions in its own way.
#[derive(Default)]
pub(crate) struct EntitySpread {
    hasher: RandomState,
    topics: Mutex<HashMap<String, Box<[Option<Seen>]>>>,
}

impl EntitySpread {
    /// Takes note of a record. The other partition, if the entity was in one.
    pub(crate) fn note(&self, topic: &str, partition: i32, entity: &[u8], key: Option<&[u8]>) -> Option<i32> {
        let seen = Seen {
            entity: self.hasher.hash_one(entity),
            key: key.map(|key| self.hasher.hash_one(key)),
            partition,
        };
        let slot = usize::try_from(seen.entity % SLOTS as u64).unwrap_or(0);
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        if !topics.contains_key(topic) {
            if topics.len() >= TOPICS_MAX {
                return None;
            }
            topics.insert(topic.to_owned(), vec![None; SLOTS].into_boxed_slice());
        }
        let before = topics.get_mut(topic)?.get_mut(slot)?;
        let other = before.filter(|before| {
            let one_key = before.key.is_some() && before.key == seen.key;
            before.entity == seen.entity && before.partition != seen.partition && !one_key
        });
        // What was seen first stays, so that the record is refused again when it is read again.
        if other.is_none() {
            *before = Some(seen);
        }
        other.map(|other| other.partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_under_two_keys_in_two_partitions_is_found_again_and_again() {
        let spread = EntitySpread::default();
        assert_eq!(spread.note("t", 0, b"customer", Some(b"order-1")), None);
        assert_eq!(spread.note("t", 0, b"customer", Some(b"order-2")), None);
        for _ in 0..2 {
            assert_eq!(spread.note("t", 1, b"customer", Some(b"order-3")), Some(0));
        }
        assert_eq!(spread.note("t", 0, b"customer", Some(b"order-2")), None);
    }

    #[test]
    fn records_without_a_key_are_found_too() {
        let spread = EntitySpread::default();
        assert_eq!(spread.note("t", 0, b"customer", None), None);
        assert_eq!(spread.note("t", 1, b"customer", None), Some(0));
    }

    #[test]
    fn one_key_in_two_partitions_is_no_fault_of_the_function() {
        let spread = EntitySpread::default();
        assert_eq!(spread.note("t", 0, b"customer", Some(b"key")), None);
        assert_eq!(spread.note("t", 5, b"customer", Some(b"key")), None, "partitions were added");
    }

    #[test]
    fn topics_are_told_apart() {
        let spread = EntitySpread::default();
        assert_eq!(spread.note("t", 0, b"customer", Some(b"order-1")), None);
        assert_eq!(spread.note("u", 1, b"customer", Some(b"order-2")), None);
    }

    #[test]
    fn it_stays_as_large_as_it_is_whatever_comes() {
        let spread = EntitySpread::default();
        for number in 0..20_000_u32 {
            let topic = format!("t{}", number % 100);
            assert_eq!(spread.note(&topic, 0, &number.to_be_bytes(), None), None);
        }
        let topics = spread.topics.lock().unwrap();
        assert_eq!(topics.len(), TOPICS_MAX);
        assert!(topics.values().all(|slots| slots.len() == SLOTS));
    }
}
