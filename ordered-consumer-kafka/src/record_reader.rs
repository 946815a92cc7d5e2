//! What the source needs of the code that turns the broker's records into events.

use ordered_consumer::{Event, Index, StreamName};
use rdkafka::message::BorrowedMessage;

/// Which event a record of the retry topic is a copy of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CopyParts {
    /// The stream that the event first came from.
    pub(crate) stream: StreamName,
    /// Its entity.
    pub(crate) entity: bytes::Bytes,
    /// Its index there.
    pub(crate) index: Index,
    /// Attempts made on it when it was published.
    pub(crate) attempts: u32,
}

/// Turns records into events, and records of the retry topic into what they are copies of.
///
/// Errors are sentences for operators, without keys, payloads or headers' values.
pub(crate) trait RecordReader: Send + Sync + 'static {
    fn event(&self, record: &BorrowedMessage<'_>, stream: &StreamName) -> Result<Event, String>;

    fn copy(&self, record: &BorrowedMessage<'_>) -> Result<CopyParts, String>;
}
