//! Why an event cannot be taken.

use bytes::Bytes;

use crate::{ENTITY_BYTES_MAX, Event};

/// The most that an event's headers, id and type may have together, in bytes.
///
/// Kafka and SQS allow no more than about this for a whole event; it bounds what one event can cost in memory and in
/// the failure log.
pub const HEADERS_BYTES_MAX: usize = 1_048_576;

/// The most that an event may have of headers.
pub const HEADERS_MAX: usize = 1_024;

/// Why an event cannot be taken: nothing has been done with it, and its broker must not be told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// The entity's key is empty, so that nothing says what the event must stay in order with.
    #[error("its entity is empty; give it a key of 1 to {ENTITY_BYTES_MAX} bytes")]
    EmptyEntity,
    /// The entity's key is too long.
    #[error(
        "its entity has {bytes} bytes, {ENTITY_BYTES_MAX} are allowed; use a shorter key, such as a hash of it"
    )]
    EntityTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The payload is larger than the consumer takes.
    #[error(
        "its payload has {bytes} bytes, {max} are allowed; raise the consumer's limit, or send a reference"
    )]
    PayloadTooLarge {
        /// How large it is.
        bytes: usize,
        /// The consumer's limit.
        max: usize,
    },
    /// Headers, id and type are together larger than [`HEADERS_BYTES_MAX`].
    #[error("its headers, id and type have {bytes} bytes together, {HEADERS_BYTES_MAX} are allowed")]
    HeadersTooLarge {
        /// How large they are.
        bytes: usize,
    },
    /// There are more than [`HEADERS_MAX`] headers.
    #[error("it has {count} headers, {HEADERS_MAX} are allowed")]
    TooManyHeaders {
        /// How many there are.
        count: usize,
    },
}

/// Checks what a consumer can take. It costs a few comparisons, and a walk over the headers where there are any.
///
/// # Errors
/// [`EventError`]: the first thing that is wrong.
pub fn check(event: &Event, payload_bytes_max: usize) -> Result<(), EventError> {
    match event.entity().len() {
        0 => return Err(EventError::EmptyEntity),
        bytes if bytes > ENTITY_BYTES_MAX => return Err(EventError::EntityTooLong { bytes }),
        _ => {}
    }
    let bytes = event.payload().map_or(0, Bytes::len);
    if bytes > payload_bytes_max {
        return Err(EventError::PayloadTooLarge { bytes, max: payload_bytes_max });
    }
    let headers = event.headers();
    if headers.len() > HEADERS_MAX {
        return Err(EventError::TooManyHeaders { count: headers.len() });
    }
    let named = event.id().map_or(0, Bytes::len) + event.event_type().map_or(0, Bytes::len);
    match headers.size().saturating_add(named) {
        bytes if bytes > HEADERS_BYTES_MAX => Err(EventError::HeadersTooLarge { bytes }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Index, StreamName};

    fn event(entity: &str, change: impl FnOnce(crate::EventBuilder) -> crate::EventBuilder) -> Event {
        let stream = StreamName::new("orders/0").unwrap();
        change(Event::builder(stream, Index::MAX, entity.to_owned())).build()
    }

    #[test]
    fn an_event_at_every_limit_is_taken() {
        let event = event(&"k".repeat(ENTITY_BYTES_MAX), |event| {
            let event = event.payload(vec![0xff; 100]).id("id").event_type("type");
            let rest = HEADERS_BYTES_MAX - "idtype".len() - (HEADERS_MAX - 1);
            (1..HEADERS_MAX).fold(event.header("", vec![0; rest]), |event, _| event.header("h", ""))
        });
        assert_eq!(check(&event, 100), Ok(()));
    }

    #[test]
    fn nul_and_bytes_that_are_not_text_are_taken_anywhere() {
        let bytes: &[u8] = b"\0\xff\xfe\0";
        let stream = StreamName::new("orders/0").unwrap();
        let event = Event::builder(stream, Index::MIN, bytes)
            .id(bytes)
            .event_type(bytes)
            .header(bytes, bytes)
            .payload(bytes)
            .build();
        assert_eq!(check(&event, 1_000), Ok(()));
    }

    #[test]
    fn one_step_over_each_limit_is_refused_by_its_own_error() {
        let refused = |event: Event| check(&event, 100).unwrap_err();
        assert_eq!(refused(event("", |event| event)), EventError::EmptyEntity);
        let entity = "k".repeat(ENTITY_BYTES_MAX + 1);
        assert_eq!(refused(event(&entity, |event| event)), EventError::EntityTooLong { bytes: 1_025 });
        let large = event("e", |event| event.payload(vec![0; 101]));
        assert_eq!(refused(large), EventError::PayloadTooLarge { bytes: 101, max: 100 });
        let many = event("e", |event| (0..=HEADERS_MAX).fold(event, |event, _| event.header("", "")));
        assert_eq!(refused(many), EventError::TooManyHeaders { count: 1_025 });
        let heavy = event("e", |event| event.id("i").header("", vec![0; HEADERS_BYTES_MAX]));
        assert_eq!(refused(heavy), EventError::HeadersTooLarge { bytes: 1_048_577 });
    }
}
