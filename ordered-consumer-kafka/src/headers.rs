//! What copies carry beside the original's headers: in the retry topic, and in a mirror of parked events.
//!
//! | header | value |
//! | --- | --- |
//! | [`TOPIC`], [`PARTITION`], [`OFFSET`] | where the event came from, as text |
//! | [`ATTEMPTS`] | attempts made on it, as text |
//! | [`ENTITY`] | its entity, where that is not the copy's key |
//! | [`STREAM`] | its stream, in the place of topic and partition, where an operator gave it another name |
//!
//! The copy's key is the original's. [`KEY`] is on events, not on copies: the record's key, where the entity is another.
//! A copy of an unordered event without a key has none.
//!
//! Nothing but where a copy points is believed: the failure log has the event.

use std::str;

use bytes::Bytes;
use ordered_consumer::Event;
use rdkafka::message::{Header, OwnedHeaders};

use crate::KEYLESS_PREFIX;

/// What the names of all our headers begin with. Headers of such names that an original carries are not copied.
pub const PREFIX: &str = "ordered-consumer-";
/// The original's topic.
pub const TOPIC: &str = "ordered-consumer-topic";
/// The original's partition.
pub const PARTITION: &str = "ordered-consumer-partition";
/// The original's offset.
pub const OFFSET: &str = "ordered-consumer-offset";
/// The original's stream, where it is not its topic and partition.
pub const STREAM: &str = "ordered-consumer-stream";
/// Attempts made on the event.
pub const ATTEMPTS: &str = "ordered-consumer-attempts";
/// The event's entity, where it is not the copy's key.
pub const ENTITY: &str = "ordered-consumer-entity";
/// The record's key, on an event whose entity is another.
pub const KEY: &str = "ordered-consumer-key";
/// On a mirrored event: the consumer that parked it.
pub const CONSUMER: &str = "ordered-consumer-consumer";
/// On a mirrored event: why it is parked, a word such as `exhausted`; see [`ParkCause`](ordered_consumer::ParkCause).
pub const CAUSE: &str = "ordered-consumer-cause";
/// On a mirrored event: the version of its gate when it was parked, as text; a repeat has the same.
pub const VERSION: &str = "ordered-consumer-version";
/// On a mirrored event: the type of its last error.
pub const ERROR_CLASS: &str = "ordered-consumer-error-class";
/// On a mirrored event: what its last error said.
pub const ERROR: &str = "ordered-consumer-error";
/// On a mirrored event: when it last failed, in milliseconds since 1970, as text.
pub const FAILED_AT: &str = "ordered-consumer-failed-at";

/// Spring Kafka's names, understood by its tools: text, a big-endian `int`, and two big-endian `long`s.
const DLT_TOPIC: &str = "kafka_dlt-original-topic";
const DLT_PARTITION: &str = "kafka_dlt-original-partition";
const DLT_OFFSET: &str = "kafka_dlt-original-offset";
const DLT_TIMESTAMP: &str = "kafka_dlt-original-timestamp";
const DLT_GROUP: &str = "kafka_dlt-original-consumer-group";
pub(crate) const DLT_CLASS: &str = "kafka_dlt-exception-fqcn";
pub(crate) const DLT_MESSAGE: &str = "kafka_dlt-exception-message";

/// A record that is about to be sent, but for its value.
pub(crate) struct CopyHead {
    pub(crate) key: Option<Bytes>,
    pub(crate) headers: HeaderList,
}

/// Headers in order, as rdkafka takes them.
#[derive(Default)]
pub(crate) struct HeaderList(Vec<(Bytes, Option<Bytes>)>);

/// A header's name is not UTF-8, so that Kafka has no place for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a header's name is not UTF-8, and Kafka's headers have names of text")]
pub(crate) struct HeaderNameError;

impl HeaderList {
    pub(crate) fn push(&mut self, name: &'static str, value: impl Into<Bytes>) {
        self.0.push((Bytes::from_static(name.as_bytes()), Some(value.into())));
    }

    /// At most the bytes that they take in a record.
    pub(crate) fn size_max(&self) -> usize {
        // Two lengths of at most five bytes each, as varints.
        self.0.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len) + 10).sum()
    }

    pub(crate) fn to_owned_headers(&self) -> Result<OwnedHeaders, HeaderNameError> {
        let headers = OwnedHeaders::new_with_capacity(self.0.len());
        self.0.iter().try_fold(headers, |headers, (name, value)| {
            let key = str::from_utf8(name).map_err(|_| HeaderNameError)?;
            // librdkafka hands names on as C strings, so that nobody could read what follows a NUL.
            if key.contains('\0') {
                return Err(HeaderNameError);
            }
            Ok(headers.insert(Header { key, value: value.as_deref() }))
        })
    }
}

/// The copy's key and headers. With `dlt_group`, Spring Kafka's headers too.
pub(crate) fn copy_head(event: &Event, attempts: u32, dlt_group: Option<&str>) -> CopyHead {
    let mut headers = originals(event);
    add_place(&mut headers, event);
    headers.push(ATTEMPTS, attempts.to_string());
    let key = copy_key(event);
    if key.as_ref() != Some(event.entity()) {
        headers.push(ENTITY, event.entity().clone());
    }
    if let Some(group) = dlt_group {
        add_dlt(&mut headers, event, group);
    }
    CopyHead { key, headers }
}

/// What the original came with, but for ours: a copy of a copy has them once.
fn originals(event: &Event) -> HeaderList {
    let kept = event.headers().iter().filter(|(name, _)| !name.starts_with(PREFIX.as_bytes()));
    HeaderList(kept.map(|(name, value)| (name.clone(), value.cloned())).collect())
}

/// The original's key. Of an event whose key is null and whose entity is from elsewhere, its entity, so that all its
/// copies are in one partition; of an unordered one, none.
fn copy_key(event: &Event) -> Option<Bytes> {
    if event.entity().starts_with(KEYLESS_PREFIX) {
        return None;
    }
    Some(event.headers().get(KEY).unwrap_or_else(|| event.entity()).clone())
}

/// Where the event came from.
fn add_place(headers: &mut HeaderList, event: &Event) {
    match topic_partition(event) {
        Some((topic, partition)) => {
            headers.push(TOPIC, topic.to_owned());
            headers.push(PARTITION, partition.to_string());
        }
        None => headers.push(STREAM, event.stream().as_str().to_owned()),
    }
    headers.push(OFFSET, event.index().to_string());
}

/// The same as Spring Kafka's tools read it; what has no place in its numbers is left out.
fn add_dlt(headers: &mut HeaderList, event: &Event, group: &str) {
    if let Some((topic, partition)) = topic_partition(event) {
        headers.push(DLT_TOPIC, topic.to_owned());
        headers.push(DLT_PARTITION, partition.to_be_bytes().to_vec());
    }
    if let Ok(offset) = i64::try_from(event.index().get()) {
        headers.push(DLT_OFFSET, offset.to_be_bytes().to_vec());
    }
    let millis =
        event.time().map(|time| ordered_consumer::Timestamp::from(time).as_micros().div_euclid(1_000));
    if let Some(millis) = millis {
        headers.push(DLT_TIMESTAMP, millis.to_be_bytes().to_vec());
    }
    headers.push(DLT_GROUP, group.to_owned());
}

/// Topic and partition of the event's stream, when its name is exactly these two.
fn topic_partition(event: &Event) -> Option<(&str, i32)> {
    let (topic, partition) = event.stream().as_str().rsplit_once('/')?;
    let number: i32 = partition.parse().ok()?;
    (!topic.is_empty() && number >= 0 && number.to_string() == partition).then_some((topic, number))
}

#[cfg(test)]
mod tests;
