//! What makes an event of a record.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use bytes::Bytes;
use ordered_consumer::{
    BoxError, ENTITY_BYTES_MAX, Event, EventBuilder, Headers, Index, NameError, StreamName,
};
use rdkafka::message::Message;

use crate::{Record, RecordError, cloud_events, copier::Copier, entity_spread::EntitySpread, headers};

/// What the entities of unordered records begin with; the record's offset follows, in decimal digits.
///
/// A record key that begins with the same bytes would be taken for one. They begin with NUL, which no text does.
pub const KEYLESS_PREFIX: &[u8] = b"\0ordered-consumer/keyless/";

type EntityFunction = dyn Fn(&Record<'_>) -> Result<Bytes, BoxError> + Send + Sync;

/// Where a record's entity is found.
///
/// **An entity must not be coarser than the record key.** A producer puts all records of a key into one partition, and
/// different keys into different ones: an entity with several keys is in several partitions, and nothing keeps these in
/// order, neither Kafka nor this crate. Where one process sees such an entity in two partitions of a topic, it refuses
/// the record ([`RecordError::EntitySpansPartitions`]); it remembers only the latest few thousand entities of a topic,
/// and cannot see what other processes read.
///
/// **Change it only when nothing is in the failure log.** Failures are kept by entity: under another one, an event would
/// not find the failure that it must wait for.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum EntityKey {
    /// The record key. The default.
    #[default]
    RecordKey,
    /// The CloudEvents attribute `partitionkey`, the header `ce_partitionkey`.
    CloudEventsPartitionKey,
    /// What a function says; see [`EntityKey::function`].
    Function(Arc<EntityFunction>),
}

impl EntityKey {
    /// A function from a record to its entity, 1 to 1,024 bytes. The same record must always have the same entity.
    ///
    /// It is called in the thread that polls the broker, for every record: it should neither wait nor take long. Where
    /// it fails or panics, the stream stops at the record.
    ///
    /// ```
    /// # use ordered_consumer_kafka::EntityKey;
    /// // Keys such as `customer-7/order-12`, where orders are independent of each other.
    /// let order = EntityKey::function(|record| {
    ///     let key = record.key().ok_or("an order without a key")?;
    ///     let order = key.rsplit(|byte| *byte == b'/').next().ok_or("an empty key")?;
    ///     Ok(order.to_vec().into())
    /// });
    /// ```
    pub fn function(entity: impl Fn(&Record<'_>) -> Result<Bytes, BoxError> + Send + Sync + 'static) -> Self {
        Self::Function(Arc::new(entity))
    }
}

impl fmt::Debug for EntityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RecordKey => "the record key",
            Self::CloudEventsPartitionKey => "the CloudEvents attribute partitionkey",
            Self::Function(_) => "a function",
        })
    }
}

/// What becomes of records without a key, where the key is to be the entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Keyless {
    /// The stream stops at the first of them. The default: a producer that forgot its keys is found out.
    #[default]
    Refused,
    /// They are in no order with anything: each is an entity of its own ([`KEYLESS_PREFIX`]), retried on its own.
    Unordered,
}

/// What makes an [`Event`] of a record: index = offset, stream = `TOPIC/PARTITION`, payload = value (null: none),
/// headers in order with repeats and null values, time = timestamp, and the entity as [`EntityKey`] says.
///
/// Records that are CloudEvents in binary mode, known by their header `ce_specversion`, have `ce_id` as the event's id
/// and `ce_type` as its type; `ce_time` is not read. Structured mode is not understood: such a record is an event like
/// any other.
///
/// An event whose entity is not its record's key has the key in a header of its own,
/// [`headers::KEY`], in the place of any such header that the record came with.
///
/// ```
/// # use ordered_consumer_kafka::{RecordMapping, rdkafka::message::{OwnedMessage, Timestamp}};
/// # fn main() -> Result<(), ordered_consumer_kafka::RecordError> {
/// let time = Timestamp::CreateTime(1_700_000_000_000);
/// let (key, value) = (Some(b"order-1".to_vec()), Some(b"paid".to_vec()));
/// let record = OwnedMessage::new(value, key, "orders".into(), time, 3, 42, None);
/// let event = RecordMapping::default().event_from(&record)?;
/// assert_eq!(event.to_string(), "event 42 of stream orders/3");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct RecordMapping {
    entity: EntityKey,
    keyless: Keyless,
    cloud_events: bool,
    spread: Arc<EntitySpread>,
}

impl Default for RecordMapping {
    fn default() -> Self {
        Self {
            entity: EntityKey::default(),
            keyless: Keyless::default(),
            cloud_events: true,
            spread: Arc::default(),
        }
    }
}

impl RecordMapping {
    /// Where the entity is found.
    #[must_use]
    pub fn entity(mut self, entity: EntityKey) -> Self {
        self.entity = entity;
        self
    }

    /// What becomes of records without a key.
    #[must_use]
    pub fn keyless(mut self, keyless: Keyless) -> Self {
        self.keyless = keyless;
        self
    }

    /// Whether CloudEvents are understood. They are, unless this says no.
    ///
    /// The failure log knows an event by id and payload: with this changed, one that is logged and comes again from the
    /// broker is taken for another event at the same place, and parks.
    #[must_use]
    pub fn cloud_events(mut self, understood: bool) -> Self {
        self.cloud_events = understood;
        self
    }

    /// The event of a record: for a consume loop of your own, of which
    /// [`OrderedConsumer::process`](ordered_consumer::OrderedConsumer::process) is a part.
    ///
    /// # Errors
    /// [`RecordError`]: the record is no event.
    pub fn event_from<M: Message>(&self, message: &M) -> Result<Event, RecordError> {
        let stream = stream_name(message.topic(), message.partition())?;
        self.event_of(&stream, message)
    }

    /// The same, of a stream whose name is known already, which saves an allocation per record.
    ///
    /// # Errors
    /// [`RecordError`]: the record is no event.
    pub fn event_of<M: Message>(&self, stream: &StreamName, message: &M) -> Result<Event, RecordError> {
        self.event_by(&mut Copier::default(), stream, &Record::new(message)?).map(EventBuilder::build)
    }

    /// The same, with what copies its parts, and not finished yet.
    pub(crate) fn event_by(
        &self,
        copier: &mut Copier,
        stream: &StreamName,
        record: &Record<'_>,
    ) -> Result<EventBuilder, RecordError> {
        let place = RecordError::Place { offset: record.offset(), partition: record.partition() };
        let index = u64::try_from(record.offset()).map_err(|_| place)?;
        let entity = self.entity_of(copier, record)?;
        let key = match &self.entity {
            EntityKey::RecordKey => None,
            EntityKey::CloudEventsPartitionKey | EntityKey::Function(_) => {
                record.key().filter(|key| *key != entity.as_ref())
            }
        };
        let headers = event_headers(record, key);
        let mut event = Event::builder(stream.clone(), Index::from(index), entity).headers(headers);
        if let Some(payload) = record.payload() {
            event = event.payload(copier.copy(payload));
        }
        if let Some(time) = record.time() {
            event = event.time(time);
        }
        if self.cloud_events
            && let Some(attributes) = cloud_events::attributes(record)
        {
            event = attributes.id.into_iter().fold(event, |event, id| event.id(id));
            event = attributes.event_type.into_iter().fold(event, |event, of| event.event_type(of));
        }
        Ok(event)
    }

    fn entity_of(&self, copier: &mut Copier, record: &Record<'_>) -> Result<Bytes, RecordError> {
        let (from, found) = match &self.entity {
            EntityKey::RecordKey => ("record's key", record.key().ok_or(RecordError::Keyless)),
            EntityKey::CloudEventsPartitionKey => {
                let found = cloud_events::partition_key(record).ok_or(RecordError::NoPartitionKey);
                ("header `ce_partitionkey`", found)
            }
            EntityKey::Function(function) => {
                let said = catch_unwind(AssertUnwindSafe(|| function(record)));
                let entity = said.map_err(|_| RecordError::EntityFunctionPanicked)?;
                let entity = entity.map_err(RecordError::EntityFunction)?;
                check_entity("entity function's answer", &entity)?;
                return self.not_spread(record, entity);
            }
        };
        match (found, self.keyless) {
            (Err(_), Keyless::Unordered) => Ok(keyless_entity(record.offset())),
            (Err(error), Keyless::Refused) => Err(error),
            (Ok(entity), _) => {
                check_entity(from, entity)?;
                let entity = copier.copy(entity);
                match self.entity {
                    EntityKey::RecordKey => Ok(entity),
                    EntityKey::CloudEventsPartitionKey | EntityKey::Function(_) => {
                        self.not_spread(record, entity)
                    }
                }
            }
        }
    }

    /// See [`EntityKey`].
    fn not_spread(&self, record: &Record<'_>, entity: Bytes) -> Result<Bytes, RecordError> {
        let (topic, here) = (record.topic(), record.partition());
        match self.spread.note(topic, here, &entity, record.key()) {
            None => Ok(entity),
            Some(there) => Err(RecordError::EntitySpansPartitions { topic: topic.to_owned(), here, there }),
        }
    }
}

impl fmt::Debug for RecordMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordMapping")
            .field("entity", &self.entity)
            .field("keyless", &self.keyless)
            .field("cloud_events", &self.cloud_events)
            .finish_non_exhaustive()
    }
}

/// The name of a partition's stream, `TOPIC/PARTITION`.
///
/// # Errors
/// [`NameError`]: there is no such topic in Kafka.
pub fn stream_name(topic: &str, partition: i32) -> Result<StreamName, NameError> {
    StreamName::new(format!("{topic}/{partition}"))
}

fn check_entity(from: &'static str, entity: &[u8]) -> Result<(), RecordError> {
    match entity.len() {
        0 => Err(RecordError::EmptyEntity { from }),
        bytes if bytes > ENTITY_BYTES_MAX => Err(RecordError::EntityTooLong { from, bytes }),
        _ => Ok(()),
    }
}

fn keyless_entity(offset: i64) -> Bytes {
    let mut entity = KEYLESS_PREFIX.to_vec();
    entity.extend_from_slice(offset.to_string().as_bytes());
    entity.into()
}

/// The record's headers, and its key where the entity is another.
fn event_headers(record: &Record<'_>, key: Option<&[u8]>) -> Headers {
    let mut kept = Headers::default();
    for (name, value) in record.headers().filter(|(name, _)| *name != headers::KEY) {
        kept.push(Bytes::copy_from_slice(name.as_bytes()), value.map(Bytes::copy_from_slice));
    }
    if let Some(key) = key {
        kept.push(Bytes::from_static(headers::KEY.as_bytes()), Some(Bytes::copy_from_slice(key)));
    }
    kept
}

#[cfg(test)]
mod tests;
