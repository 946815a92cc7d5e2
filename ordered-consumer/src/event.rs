//! An event, as every part of the product hands it on.

use std::{fmt, sync::Arc, time::SystemTime};

use bytes::Bytes;

use crate::{Digest, EventBuilder, Headers, Index, StreamName, Timestamp};

/// One event of an entity, as its broker delivered it. Cheap to clone.
///
/// [`Debug`](fmt::Debug) shows where the event is (stream and index) and how large, never its entity, headers or
/// payload, so that it can be logged.
///
/// ```
/// # use ordered_consumer::{Event, Index, StreamName};
/// # fn main() -> Result<(), ordered_consumer::NameError> {
/// let event = Event::builder(StreamName::new("orders/0")?, Index::new(7), "order-1")
///     .event_type("order.paid")
///     .payload(r#"{"amount": 12}"#)
///     .build();
/// assert_eq!(event.to_string(), "event 7 of stream orders/0");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Event {
    /// Its own, and those of the events that were put together with it.
    page: Arc<[Fields]>,
    place: u32,
    context: Context,
}

#[derive(Clone)]
pub(crate) struct Fields {
    pub(crate) stream: StreamName,
    pub(crate) index: Index,
    pub(crate) entity: Bytes,
    pub(crate) id: Option<Bytes>,
    pub(crate) event_type: Option<Bytes>,
    pub(crate) headers: Headers,
    pub(crate) payload: Option<Bytes>,
    pub(crate) time: Option<SystemTime>,
}

impl Fields {
    /// See [`Event::size`].
    pub(crate) fn size(&self) -> usize {
        let optional = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        self.entity.len()
            + optional(&self.id)
            + optional(&self.event_type)
            + optional(&self.payload)
            + self.headers.size()
    }
}

/// How an event came to its handler this time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Context {
    /// Which attempt on this event this is, counted from 1.
    pub attempt: u32,
    /// Whether the event may have been handed to a handler before: an attempt after the first, or a redelivery.
    pub redelivered: bool,
    /// When the event first failed, by the failure log's clock; none while it has not.
    pub first_failed_at: Option<Timestamp>,
}

impl Context {
    pub(crate) const FIRST: Self = Self { attempt: 1, redelivered: false, first_failed_at: None };
}

impl Event {
    /// Begins an event at its place in a stream; the entity is a key of 1 to 1,024 bytes, compared byte by byte.
    #[inline]
    pub fn builder(stream: StreamName, index: Index, entity: impl Into<Bytes>) -> EventBuilder {
        EventBuilder::new(stream, index, entity.into())
    }

    /// The event with these fields, alone.
    pub(crate) fn alone(fields: Fields, context: Context) -> Self {
        Self { page: Arc::new([fields]), place: 0, context }
    }

    /// The event at a place of a page, where there must be one.
    pub(crate) fn of_page(page: &Arc<[Fields]>, place: u32, context: Context) -> Self {
        Self { page: Arc::clone(page), place, context }
    }

    #[cfg(test)]
    pub(crate) fn shares_page(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.page, &other.page)
    }

    #[inline]
    fn fields(&self) -> &Fields {
        &self.page[self.place as usize]
    }

    /// The stream that the event came from.
    #[inline]
    #[must_use]
    pub fn stream(&self) -> &StreamName {
        &self.fields().stream
    }

    /// The event's place in its stream: the broker's own number.
    #[inline]
    #[must_use]
    pub fn index(&self) -> Index {
        self.fields().index
    }

    /// What must stay in order: a customer, an order.
    #[inline]
    #[must_use]
    pub fn entity(&self) -> &Bytes {
        &self.fields().entity
    }

    /// The event's own identifier, where its producer or broker gives one.
    #[inline]
    #[must_use]
    pub fn id(&self) -> Option<&Bytes> {
        self.fields().id.as_ref()
    }

    /// What kind of event it is, such as `customer.created`.
    #[inline]
    #[must_use]
    pub fn event_type(&self) -> Option<&Bytes> {
        self.fields().event_type.as_ref()
    }

    /// Its headers, in order and with repeats.
    #[inline]
    #[must_use]
    pub fn headers(&self) -> &Headers {
        &self.fields().headers
    }

    /// Its payload; none for a null value (a Kafka tombstone), which differs from an empty one.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> Option<&Bytes> {
        self.fields().payload.as_ref()
    }

    /// When its producer or broker says it happened.
    #[inline]
    #[must_use]
    pub fn time(&self) -> Option<SystemTime> {
        self.fields().time
    }

    /// How it came to the handler this time: which attempt, redelivered or not, when it first failed.
    #[inline]
    #[must_use]
    pub fn context(&self) -> Context {
        self.context
    }

    /// The same event, coming to its handler in another way.
    #[must_use]
    pub fn with_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// The same event with what an operator put in the place of its payload and headers.
    pub(crate) fn edited(&self, payload: Option<Bytes>, headers: Headers) -> Self {
        let fields = Fields { payload, headers, ..self.fields().clone() };
        Self::alone(fields, self.context)
    }

    /// The same event under its stream's other name.
    pub(crate) fn with_stream(&self, stream: StreamName) -> Self {
        let fields = Fields { stream, ..self.fields().clone() };
        Self::alone(fields, self.context)
    }

    /// The bytes it occupies in a failure log: key, id, type, headers and payload.
    #[must_use]
    pub fn size(&self) -> usize {
        self.fields().size()
    }

    /// What tells this event from another at the same place: its id and its payload.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.id(), self.payload())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} of stream {}", self.index(), self.stream())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("stream", self.stream())
            .field("index", &self.index().get())
            .field("bytes", &self.size())
            .field("attempt", &self.context.attempt)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Event {
        let stream = StreamName::new("orders/0").unwrap();
        Event::builder(stream, Index::new(3), "secret-key")
            .header("h", "secret-header")
            .payload("secret")
            .build()
    }

    #[test]
    fn debug_shows_no_entity_header_or_payload() {
        let shown = format!("{:?} {}", event(), event());
        assert!(!shown.contains("secret"), "{shown}");
        assert!(shown.contains("orders/0"), "{shown}");
    }

    #[test]
    fn a_null_payload_and_an_empty_one_are_told_apart() {
        let stream = StreamName::new("s").unwrap();
        let null = Event::builder(stream.clone(), Index::new(1), "e").build();
        let empty = Event::builder(stream, Index::new(1), "e").payload("").build();
        assert_eq!(null.payload(), None);
        assert_ne!(null.digest(), empty.digest());
    }
}
