//! Why a record is no event.

use ordered_consumer::{BoxError, ENTITY_BYTES_MAX, NameError};

/// Why a record is no event, and what to do. The stream stops at the record; nothing is skipped.
///
/// Keys and payloads are not shown. What an entity function said is the error's source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The record has no key, so that nothing says what it must stay in order with.
    #[error(
        "the record has no key, so nothing says what it must stay in order with; give an entity function, or declare records without a key unordered (`Keyless::Unordered`)"
    )]
    Keyless,
    /// The entity is to be the CloudEvents attribute `partitionkey`, and the record has none.
    #[error(
        "the record has no header `ce_partitionkey`, which is to be its entity; have its producer set one, or declare such records unordered (`Keyless::Unordered`)"
    )]
    NoPartitionKey,
    /// The entity is empty.
    #[error("the {from} is empty, and an entity has 1 to {ENTITY_BYTES_MAX} bytes; give an entity function")]
    EmptyEntity {
        /// Where the entity was taken from.
        from: &'static str,
    },
    /// The entity is too long.
    #[error(
        "the {from} has {bytes} bytes, and an entity has at most {ENTITY_BYTES_MAX}; give an entity function that returns a shorter one, such as a hash of it"
    )]
    EntityTooLong {
        /// Where the entity was taken from.
        from: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// The entity function failed.
    #[error("the entity function cannot say the record's entity")]
    EntityFunction(#[source] BoxError),
    /// The entity function panicked.
    #[error("the entity function panicked; it must return an error for a record that it cannot read")]
    EntityFunctionPanicked,
    /// Two records of one entity are in different partitions of a topic, so that nothing can keep it in order.
    #[error(
        "the entity is in partition {here} and also in partition {there} of topic {topic}, under different record keys: nothing keeps such an entity in order; have the producer use the entity as the record key, or return a finer entity, of which each has one record key"
    )]
    EntitySpansPartitions {
        /// The topic.
        topic: String,
        /// This record's partition.
        here: i32,
        /// The other record's.
        there: i32,
    },
    /// A header's name is not UTF-8, and rdkafka cannot read the record.
    #[error("a header's name is not UTF-8, as Kafka's protocol demands; have its producer send a proper one")]
    HeaderName,
    /// The place is none that a record can have.
    #[error("a record cannot be at offset {offset} of partition {partition}")]
    Place {
        /// The offset.
        offset: i64,
        /// The partition.
        partition: i32,
    },
    /// The topic and partition make no stream's name.
    #[error("the topic cannot be a stream")]
    Stream(#[from] NameError),
}
