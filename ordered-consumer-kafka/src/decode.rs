//! Reading a copy from the retry topic.

use std::{num::ParseIntError, str};

use bytes::Bytes;
use ordered_consumer::{ENTITY_BYTES_MAX, Index, NameError, StreamName};
use rdkafka::message::Message;

use crate::{Record, RecordError, headers, record_mapping::stream_name};

/// Where a copy points, which is all that is believed of it.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodedCopy {
    /// The stream that the event first came from.
    pub stream: StreamName,
    /// Its entity.
    pub entity: Bytes,
    /// Its index there.
    pub index: Index,
    /// Attempts made on it when it was published.
    pub attempts: u32,
}

impl std::fmt::Debug for DecodedCopy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a copy of event {} of stream {}", self.index, self.stream)
    }
}

/// Why a record of the retry topic is no copy. It can be left out, because the failure log has the event of every copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It lacks a header that every copy has.
    #[error(
        "it has no header `{name}`, so it was not published by this product; nothing else may write to the retry topic"
    )]
    Missing {
        /// The header.
        name: &'static str,
    },
    /// A header's value is not what it should be.
    #[error("its header `{name}` is not {what}; nothing but this product may write to the retry topic")]
    Invalid {
        /// The header.
        name: &'static str,
        /// What it should be.
        what: &'static str,
    },
    /// It has neither a key nor the header that says its entity, or that is none.
    #[error(
        "neither its key nor its header `{}` is an entity of 1 to {ENTITY_BYTES_MAX} bytes",
        headers::ENTITY
    )]
    Entity,
    /// The stream that it names cannot be one.
    #[error("the stream that it names cannot be one")]
    Stream(#[source] NameError),
    /// Its headers cannot be read.
    #[error("it cannot be read")]
    Record(#[source] RecordError),
}

/// Where a record of the retry topic points.
///
/// # Errors
/// [`DecodeError`]: the record is no copy.
pub fn decode_copy<M: Message>(message: &M) -> Result<DecodedCopy, DecodeError> {
    let record = Record::new(message).map_err(DecodeError::Record)?;
    let stream = match text(&record, headers::STREAM)? {
        Some(stream) => StreamName::new(stream).map_err(DecodeError::Stream)?,
        None => stream_of(&record)?,
    };
    let index = required(&record, headers::OFFSET)?;
    let index: u128 = number(headers::OFFSET, index, "a number")?;
    let attempts = required(&record, headers::ATTEMPTS)?;
    let attempts = number(headers::ATTEMPTS, attempts, "a number of 32 bits")?;
    let entity = record.header(headers::ENTITY).or(record.key()).unwrap_or_default();
    if entity.is_empty() || entity.len() > ENTITY_BYTES_MAX {
        return Err(DecodeError::Entity);
    }
    Ok(DecodedCopy { stream, entity: Bytes::copy_from_slice(entity), index: Index::new(index), attempts })
}

fn stream_of(record: &Record<'_>) -> Result<StreamName, DecodeError> {
    let topic = required(record, headers::TOPIC)?;
    let partition = required(record, headers::PARTITION)?;
    let partition: i32 = number(headers::PARTITION, partition, "a partition's number")?;
    if partition < 0 {
        return Err(DecodeError::Invalid { name: headers::PARTITION, what: "a partition's number" });
    }
    stream_name(topic, partition).map_err(DecodeError::Stream)
}

fn text<'r>(record: &Record<'r>, name: &'static str) -> Result<Option<&'r str>, DecodeError> {
    let utf8 = |value| str::from_utf8(value).map_err(|_| DecodeError::Invalid { name, what: "text" });
    record.header(name).map(utf8).transpose()
}

fn required<'r>(record: &Record<'r>, name: &'static str) -> Result<&'r str, DecodeError> {
    text(record, name)?.ok_or(DecodeError::Missing { name })
}

fn number<N: str::FromStr<Err = ParseIntError>>(
    name: &'static str,
    text: &str,
    what: &'static str,
) -> Result<N, DecodeError> {
    text.parse().map_err(|_| DecodeError::Invalid { name, what })
}
