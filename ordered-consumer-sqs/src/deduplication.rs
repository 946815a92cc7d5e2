//! A deduplication id of its own for every publish.
//!
//! SQS accepts and does not deliver what has an id that it has seen within five minutes, even after the first copy was
//! deleted. An event that is released again would so be lost until the relay asks again, and again after that.
//!
//! By its id a copy is known again, too: whoever forwards a message with all its attributes gives it an id of his own, or
//! sends it to another queue.

use std::sync::atomic::{AtomicU64, Ordering};

use ordered_consumer::ReleasedEvent;
use xxhash_rust::xxh3::Xxh3;

use crate::copy_attribute::Copied;

/// What SQS allows.
#[cfg(test)]
const CHARACTERS_MAX: usize = 128;

/// Makes the ids of one publisher.
#[derive(Debug)]
pub(crate) struct DeduplicationIds {
    /// The ARN of the queue that it publishes to.
    queue: String,
    /// Tells this publisher's ids from another process's.
    nonce: u64,
    published: AtomicU64,
}

impl DeduplicationIds {
    pub(crate) fn new(queue: String) -> Result<Self, getrandom::Error> {
        Ok(Self { queue, nonce: getrandom::u64()?, published: AtomicU64::new(0) })
    }

    /// The id of one publish: place, attempts, a hash of queue, stream and entity, the publisher, and its publish count. The
    /// client's own retries of a request send it again, so that they are not delivered twice.
    pub(crate) fn next(&self, released: &ReleasedEvent) -> String {
        let begin = begin_of(&self.queue, &Copied::from(released));
        let count = self.published.fetch_add(1, Ordering::Relaxed);
        format!("{begin}{:016x}-{count}", self.nonce)
    }
}

/// Whether a publisher, in whatever process, has made the id for a copy of this event on the queue with this ARN.
pub(crate) fn is_made_for(id: &str, queue: &str, copied: &Copied) -> bool {
    id.starts_with(&begin_of(queue, copied))
}

/// What all ids of one event's copies with these attempts on one queue have in common.
fn begin_of(queue: &str, copied: &Copied) -> String {
    let Copied { stream, entity, index, attempts } = copied;
    let mut hash = Xxh3::new();
    // Neither an ARN nor a stream's name has control characters, so that the bytes after it cannot be mistaken for it.
    for part in [queue, stream.as_str()] {
        hash.update(part.as_bytes());
        hash.update(&[0]);
    }
    hash.update(entity);
    format!("{index}-{attempts}-{:032x}-", hash.digest128())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use bytes::Bytes;
    use ordered_consumer::{Event, Index, StreamName};

    use super::*;

    const QUEUE: &str = "arn:aws:sqs:eu-west-1:123456789012:orders-retry.fifo";

    fn released(index: Index, attempts: u32) -> ReleasedEvent {
        let stream = StreamName::new("orders.fifo").unwrap();
        ReleasedEvent { event: Event::builder(stream, index, "order-1").build(), attempts }
    }

    #[test]
    fn the_longest_id_is_within_what_sqs_allows() {
        let ids = DeduplicationIds {
            queue: QUEUE.to_owned(),
            nonce: u64::MAX,
            published: AtomicU64::new(u64::MAX),
        };
        let id = ids.next(&released(Index::MAX, u32::MAX));
        assert!(id.len() <= CHARACTERS_MAX, "{} characters", id.len());
        assert!(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'), "{id}");
        assert!(!id.contains("order-1"), "an entity's key is not shown");
    }

    #[test]
    fn the_same_event_published_again_has_another_id_in_every_process() {
        let publishers = [(); 2].map(|()| DeduplicationIds::new(QUEUE.to_owned()).unwrap());
        let event = released(Index::MIN, 1);
        let ids: HashSet<String> =
            publishers.iter().flat_map(|ids| [ids.next(&event), ids.next(&event)]).collect();
        assert_eq!(ids.len(), 4);
    }

    #[test]
    fn an_id_is_known_again_by_whoever_knows_its_event_and_queue_and_no_other_is() {
        let event = released(Index::new(7), 1);
        let ids = [(); 2].map(|()| DeduplicationIds::new(QUEUE.to_owned()).unwrap().next(&event));
        let of = || Copied::from(&event);
        for id in &ids {
            assert!(is_made_for(id, QUEUE, &of()), "{id}");
            assert!(!is_made_for(id, "arn:aws:sqs:eu-west-1:123456789012:orders.fifo", &of()));
            assert!(!is_made_for(id, QUEUE, &Copied { index: Index::new(70), ..of() }));
            assert!(!is_made_for(id, QUEUE, &Copied { attempts: 10, ..of() }));
            assert!(!is_made_for(id, QUEUE, &Copied { stream: StreamName::new("orders").unwrap(), ..of() }));
            assert!(!is_made_for(id, QUEUE, &Copied { entity: Bytes::from_static(b"order-10"), ..of() }));
        }
        let cut = ids[0].rsplit_once('-').and_then(|(begin, _)| begin.rsplit_once('-')).unwrap().0;
        for other in ["", "7", "7-1", "the-original", cut, &format!(" {}", ids[0])] {
            assert!(!is_made_for(other, QUEUE, &of()), "{other}");
        }
    }
}
