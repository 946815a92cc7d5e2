//! Putting an event together.

use std::time::SystemTime;

use bytes::Bytes;

use crate::{Event, Headers, Index, StreamName, event::Context, event::Fields};

/// Puts an [`Event`] together; begun by [`Event::builder`].
///
/// It takes any bytes. What a consumer cannot take (an empty or oversized entity, a payload over its limit) is refused
/// by that consumer, with an error that names the event.
#[derive(Clone)]
#[must_use]
pub struct EventBuilder {
    pub(crate) fields: Fields,
    pub(crate) context: Context,
}

impl EventBuilder {
    #[inline]
    pub(crate) fn new(stream: StreamName, index: Index, entity: Bytes) -> Self {
        let (id, event_type, payload, time) = (None, None, None, None);
        let headers = Headers::default();
        let fields = Fields { stream, index, entity, id, event_type, headers, payload, time };
        Self { fields, context: Context::FIRST }
    }

    /// The event's own identifier.
    #[inline]
    pub fn id(mut self, id: impl Into<Bytes>) -> Self {
        self.fields.id = Some(id.into());
        self
    }

    /// What kind of event it is.
    #[inline]
    pub fn event_type(mut self, event_type: impl Into<Bytes>) -> Self {
        self.fields.event_type = Some(event_type.into());
        self
    }

    /// One more header, after those there are; names may repeat.
    #[inline]
    pub fn header(mut self, name: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.fields.headers.push(name.into(), Some(value.into()));
        self
    }

    /// All headers at once.
    #[inline]
    pub fn headers(mut self, headers: Headers) -> Self {
        self.fields.headers = headers;
        self
    }

    /// The payload; without this call it is none, a null value.
    #[inline]
    pub fn payload(mut self, payload: impl Into<Bytes>) -> Self {
        self.fields.payload = Some(payload.into());
        self
    }

    /// When it happened.
    #[inline]
    pub fn time(mut self, time: SystemTime) -> Self {
        self.fields.time = Some(time);
        self
    }

    /// Says that the broker has delivered this event before.
    #[inline]
    pub fn redelivered(mut self, redelivered: bool) -> Self {
        self.context.redelivered = redelivered;
        self
    }

    /// The finished event.
    #[must_use]
    pub fn build(self) -> Event {
        Event::alone(self.fields, self.context)
    }
}
