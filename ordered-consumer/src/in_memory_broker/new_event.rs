//! An event to be published.

use std::{fmt, time::SystemTime};

use bytes::Bytes;

use crate::{Event, Headers, Index, StreamName};

/// An event to be published: everything but its place, which the broker gives.
#[derive(Clone, Default)]
pub struct NewEvent {
    /// Its entity. The broker takes any bytes, also those that a consumer refuses.
    pub key: Bytes,
    /// Its own identifier.
    pub id: Option<Bytes>,
    /// What kind of event it is.
    pub event_type: Option<Bytes>,
    /// Its headers.
    pub headers: Headers,
    /// Its payload; none is a null value.
    pub payload: Option<Bytes>,
    /// When it happened.
    pub time: Option<SystemTime>,
}

impl NewEvent {
    /// An event with a key and a payload, and nothing else.
    pub fn new(key: impl Into<Bytes>, payload: impl Into<Bytes>) -> Self {
        Self { key: key.into(), payload: Some(payload.into()), ..Self::default() }
    }

    pub(super) fn at(self, stream: StreamName, index: u128) -> Event {
        let mut event = Event::builder(stream, Index::new(index), self.key).headers(self.headers);
        if let Some(id) = self.id {
            event = event.id(id);
        }
        if let Some(event_type) = self.event_type {
            event = event.event_type(event_type);
        }
        if let Some(payload) = self.payload {
            event = event.payload(payload);
        }
        if let Some(time) = self.time {
            event = event.time(time);
        }
        event.build()
    }
}

impl fmt::Debug for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rest is the user's data, and does not belong into logs.
        let bytes = self.payload.as_ref().map_or(0, Bytes::len);
        f.debug_struct("NewEvent").field("payload_bytes", &bytes).finish_non_exhaustive()
    }
}
