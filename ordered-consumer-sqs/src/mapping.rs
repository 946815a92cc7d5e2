//! What becomes of a message: its event.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use ordered_consumer::{ENTITY_BYTES_MAX, Event, Index, StreamName};

use crate::{IncomingMessage, attributes};

/// Between a group's id and what a finer function says. No group's id can have it, so that no two pairs meet.
const BETWEEN: u8 = b' ';

type Finer = Arc<dyn Fn(&IncomingMessage) -> Option<Bytes> + Send + Sync>;

/// How a message becomes an event.
///
/// | event | message |
/// | --- | --- |
/// | entity | `MessageGroupId`, or [finer](Self::entity_within_group) |
/// | index | `SequenceNumber` |
/// | id | `MessageDeduplicationId`, or [an attribute](Self::id_from_attribute) |
/// | type | [an attribute](Self::type_from_attribute), if one is named |
/// | headers | message attributes, by name; the type of one that a reader would guess wrongly is in `NAME:type` |
/// | payload | body |
/// | time | `SentTimestamp` |
///
/// A message that cannot be mapped (no group, no sequence number, an entity over 1,024 bytes, a function that panics)
/// **stops its group, and neither the queue nor other groups**: neither it nor a later message of its group is handed
/// over, it is reported as an error with its index, and comes again when its visibility runs out. Correct the mapping, or
/// delete the message.
#[derive(Clone, Default)]
pub struct SqsMapping {
    finer: Option<Finer>,
    id: Option<String>,
    event_type: Option<String>,
}

impl SqsMapping {
    /// The mapping of the table, with the group as entity.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes entities that are finer than groups: the entity is the group's id, a space, and what the function says; or
    /// the group's id alone where it says nothing. It can therefore never be coarser than the group, of which alone SQS
    /// keeps the order. It must say the same of a message whenever it is asked.
    ///
    /// A group's messages of one receive are still deleted in order, so that entities of one group wait for each other's
    /// deletes, and not for each other's failures.
    #[must_use]
    pub fn entity_within_group(
        mut self,
        finer: impl Fn(&IncomingMessage) -> Option<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.finer = Some(Arc::new(finer));
        self
    }

    /// Takes the event's id from this attribute instead of the deduplication id; an event without it has no id.
    #[must_use]
    pub fn id_from_attribute(mut self, name: impl Into<String>) -> Self {
        self.id = Some(name.into());
        self
    }

    /// Takes the event's type from this attribute.
    #[must_use]
    pub fn type_from_attribute(mut self, name: impl Into<String>) -> Self {
        self.event_type = Some(name.into());
        self
    }

    /// The event that the message is.
    ///
    /// # Errors
    /// Why it cannot be one, without its group or body.
    pub(crate) fn event(&self, stream: &StreamName, message: &IncomingMessage) -> Result<Event, Unmapped> {
        let index = index_of(message);
        let unmapped = |why| Unmapped { index, why };
        let at = index.ok_or_else(|| unmapped("it has no sequence number; is the queue a FIFO queue?"))?;
        let entity = self.entity(message).map_err(unmapped)?;
        let attribute = |name: &Option<String>| {
            let named = name.as_deref().and_then(|name| message.named(name));
            named.map(|attribute| attribute.value.clone())
        };
        let id = match &self.id {
            Some(_) => attribute(&self.id),
            None => message.deduplication.clone().map(Bytes::from),
        };
        let mut event = Event::builder(stream.clone(), at, entity)
            .headers(attributes::to_headers(message.attributes.iter()))
            .redelivered(message.receives > 1);
        if let Some(id) = id {
            event = event.id(id);
        }
        if let Some(event_type) = attribute(&self.event_type) {
            event = event.event_type(event_type);
        }
        if let Some(body) = &message.body {
            event = event.payload(body.clone());
        }
        let sent = message.sent.and_then(|at| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(at)));
        if let Some(sent) = sent {
            event = event.time(sent);
        }
        Ok(event.build())
    }

    fn entity(&self, message: &IncomingMessage) -> Result<Bytes, &'static str> {
        let group = message.group.as_deref().filter(|group| !group.is_empty());
        let group = group.ok_or("it has no message group; is the queue a FIFO queue?")?;
        let Some(finer) = &self.finer else { return checked(Bytes::from(group.to_owned())) };
        if group.as_bytes().contains(&BETWEEN) {
            return Err("its group's id has a space, which SQS does not allow");
        }
        match catch_unwind(AssertUnwindSafe(|| finer(message))) {
            Ok(None) => checked(Bytes::from(group.to_owned())),
            Ok(Some(within)) => {
                let parts = [group.as_bytes(), &[BETWEEN], &within];
                checked(Bytes::from(parts.concat()))
            }
            Err(_) => Err("the function that says what its entity is has panicked"),
        }
    }
}

fn checked(entity: Bytes) -> Result<Bytes, &'static str> {
    if entity.len() > ENTITY_BYTES_MAX { Err("its entity is over 1,024 bytes") } else { Ok(entity) }
}

/// A message's place in its queue.
pub(crate) fn index_of(message: &IncomingMessage) -> Option<Index> {
    message.sequence.as_deref()?.parse().ok()
}

/// A message that is no event.
#[derive(Debug)]
pub(crate) struct Unmapped {
    pub(crate) index: Option<Index>,
    pub(crate) why: &'static str,
}

impl fmt::Debug for SqsMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqsMapping")
            .field("finer", &self.finer.is_some())
            .field("id", &self.id)
            .field("event_type", &self.event_type)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incoming::Attribute;

    fn stream() -> StreamName {
        StreamName::new("orders.fifo").unwrap()
    }

    fn message() -> IncomingMessage {
        let attribute =
            |value: &'static str| Attribute { data_type: "String".to_owned(), value: Bytes::from(value) };
        IncomingMessage {
            group: Some("order-1".to_owned()),
            sequence: Some("18849496460467696128".to_owned()),
            deduplication: Some("d".to_owned()),
            receives: 1,
            sent: Some(1_700_000_000_123),
            body: Some(Bytes::from_static(b"body")),
            attributes: vec![
                ("event_id".to_owned(), attribute("e-7")),
                ("kind".to_owned(), attribute("order.paid")),
            ],
        }
    }

    #[test]
    fn every_part_of_a_message_has_its_place_in_the_event() {
        let event = SqsMapping::new().event(&stream(), &message()).unwrap();
        assert_eq!(event.entity().as_ref(), b"order-1");
        assert_eq!(event.index().get(), 18_849_496_460_467_696_128);
        assert_eq!(event.id().map(AsRef::as_ref), Some(b"d".as_slice()));
        assert_eq!(event.payload().map(AsRef::as_ref), Some(b"body".as_slice()));
        assert_eq!(event.headers().get("kind").map(AsRef::as_ref), Some(b"order.paid".as_slice()));
        assert_eq!(event.time(), Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123)));
        assert_eq!(event.event_type(), None);
        assert!(!event.context().redelivered);
    }

    #[test]
    fn a_sequence_number_beyond_64_bits_is_an_index() {
        let sequence = Some((u128::from(u64::MAX) + 1).to_string());
        let event = SqsMapping::new().event(&stream(), &IncomingMessage { sequence, ..message() }).unwrap();
        assert_eq!(event.index().get(), u128::from(u64::MAX) + 1);
    }

    #[test]
    fn a_message_received_before_is_said_to_be_redelivered() {
        let event =
            SqsMapping::new().event(&stream(), &IncomingMessage { receives: 2, ..message() }).unwrap();
        assert!(event.context().redelivered);
    }

    #[test]
    fn id_and_type_come_from_attributes_where_they_are_named() {
        let mapping = SqsMapping::new().id_from_attribute("event_id").type_from_attribute("kind");
        let event = mapping.event(&stream(), &message()).unwrap();
        assert_eq!(event.id().map(AsRef::as_ref), Some(b"e-7".as_slice()));
        assert_eq!(event.event_type().map(AsRef::as_ref), Some(b"order.paid".as_slice()));
        let event =
            mapping.event(&stream(), &IncomingMessage { attributes: Vec::new(), ..message() }).unwrap();
        assert_eq!((event.id(), event.event_type()), (None, None));
    }

    #[test]
    fn an_entity_is_never_coarser_than_its_group() {
        let mapping = SqsMapping::new().entity_within_group(|_| Some(Bytes::from_static(b"same")));
        let of = |group: &str| {
            let message = IncomingMessage { group: Some(group.to_owned()), ..message() };
            mapping.event(&stream(), &message).map(|event| event.entity().clone())
        };
        assert_eq!(of("a").unwrap().as_ref(), b"a same");
        assert_ne!(of("a").unwrap(), of("b").unwrap());
        assert!(of("a b").is_err(), "`a b` + `same` would be `a` + `b same`");
        let silent = SqsMapping::new().entity_within_group(|_| None);
        assert_eq!(silent.event(&stream(), &message()).unwrap().entity().as_ref(), b"order-1");
    }

    #[test]
    fn what_cannot_be_mapped_says_why_and_where_and_nothing_of_its_contents() {
        let told = |mapping: &SqsMapping, message: &IncomingMessage| {
            let unmapped = mapping.event(&stream(), message).unwrap_err();
            assert!(!format!("{unmapped:?} {message:?} {mapping:?}").contains("order-1"));
            (unmapped.index.is_some(), unmapped.why)
        };
        let plain = SqsMapping::new();
        assert!(told(&plain, &IncomingMessage { group: None, ..message() }).1.contains("no message group"));
        let empty = IncomingMessage { group: Some(String::new()), ..message() };
        assert_eq!(told(&plain, &empty), (true, "it has no message group; is the queue a FIFO queue?"));
        let (at, why) = told(&plain, &IncomingMessage { sequence: Some("x".to_owned()), ..message() });
        assert!(!at && why.contains("sequence number"));
        let long = SqsMapping::new().entity_within_group(|_| Some(Bytes::from(vec![b'x'; 1_017])));
        assert!(told(&long, &message()).1.contains("1,024"));
        let fits = SqsMapping::new().entity_within_group(|_| Some(Bytes::from(vec![b'x'; 1_016])));
        assert_eq!(fits.event(&stream(), &message()).unwrap().entity().len(), 1_024);
        let panics = SqsMapping::new().entity_within_group(|_| panic!("on purpose"));
        assert!(told(&panics, &message()).1.contains("panicked"));
    }
}
