//! A deduplication id of its own for every publish.
//!
//! SQS accepts and does not deliver what has an id that it has seen within five minutes, even after the first copy was
//! deleted. An event that is released again would so be lost until the relay asks again, and again after that.

use std::sync::atomic::{AtomicU64, Ordering};

use ordered_consumer::ReleasedEvent;
use xxhash_rust::xxh3::Xxh3;

/// What SQS allows.
#[cfg(test)]
const CHARACTERS_MAX: usize = 128;

/// Makes the ids of one publisher.
#[derive(Debug)]
pub(crate) struct DeduplicationIds {
    /// Tells this publisher's ids from another process's.
    nonce: u64,
    published: AtomicU64,
}

impl DeduplicationIds {
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { nonce: getrandom::u64()?, published: AtomicU64::new(0) })
    }

    /// The id of one publish: place, attempts, a hash of stream and entity, the publisher, and its publish count. The
    /// client's own retries of a request send it again, so that they are not delivered twice.
    pub(crate) fn next(&self, released: &ReleasedEvent) -> String {
        let event = &released.event;
        let mut hash = Xxh3::new();
        hash.update(event.stream().as_str().as_bytes());
        // A stream's name has no control characters, so that the bytes after it cannot be mistaken for it.
        hash.update(&[0]);
        hash.update(event.entity());
        let count = self.published.fetch_add(1, Ordering::Relaxed);
        let (index, attempts, hash, nonce) = (event.index(), released.attempts, hash.digest128(), self.nonce);
        format!("{index}-{attempts}-{hash:032x}-{nonce:016x}-{count}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ordered_consumer::{Event, Index, StreamName};

    use super::*;

    fn released(index: Index, attempts: u32) -> ReleasedEvent {
        let stream = StreamName::new("orders.fifo").unwrap();
        ReleasedEvent { event: Event::builder(stream, index, "order-1").build(), attempts }
    }

    #[test]
    fn the_longest_id_is_within_what_sqs_allows() {
        let ids = DeduplicationIds { nonce: u64::MAX, published: AtomicU64::new(u64::MAX) };
        let id = ids.next(&released(Index::MAX, u32::MAX));
        assert!(id.len() <= CHARACTERS_MAX, "{} characters", id.len());
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{id}");
        assert!(!id.contains("order-1"), "an entity's key is not shown");
    }

    #[test]
    fn the_same_event_published_again_has_another_id_in_every_process() {
        let publishers = [DeduplicationIds::new().unwrap(), DeduplicationIds::new().unwrap()];
        let event = released(Index::MIN, 1);
        let ids: HashSet<String> =
            publishers.iter().flat_map(|ids| [ids.next(&event), ids.next(&event)]).collect();
        assert_eq!(ids.len(), 4);
    }
}
