//! Why an event was not processed.

use std::fmt;

use crate::{Event, EventError, FailureLogError, Index, NameError, StreamName};

/// Where an event is, for errors: stream and index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventPlace {
    /// The event's stream.
    pub stream: StreamName,
    /// Its place there.
    pub index: Index,
}

impl From<&Event> for EventPlace {
    fn from(event: &Event) -> Self {
        Self { stream: event.stream().clone(), index: event.index() }
    }
}

impl fmt::Display for EventPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {} of stream {}", self.index, self.stream)
    }
}

/// Which limit keeps an event waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitReached {
    /// As many events are held for its entity as may be.
    EntityEvents {
        /// The limit, in events.
        max: u64,
    },
    /// As many bytes are held for its entity as may be.
    EntityBytes {
        /// The limit, in bytes.
        max: u64,
    },
    /// As many events are held for the consumer as may be.
    ConsumerEvents {
        /// The limit, in events.
        max: u64,
    },
    /// As many bytes are held for the consumer as may be.
    ConsumerBytes {
        /// The limit, in bytes.
        max: u64,
    },
    /// Its entity holds as much as it may; which of the two limits it was is not known.
    Entity,
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EntityEvents { max } => write!(f, "its entity holds {max} events"),
            Self::EntityBytes { max } => write!(f, "its entity holds {max} bytes"),
            Self::ConsumerEvents { max } => write!(f, "the consumer holds {max} events"),
            Self::ConsumerBytes { max } => write!(f, "the consumer holds {max} bytes"),
            Self::Entity => f.write_str("its entity holds as much as it may"),
        }
    }
}

/// Why an event was not processed. **Do not acknowledge it**, nor any later event of its stream: it must come again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The event cannot be taken, now or later.
    #[error("{event} cannot be taken; it stays with its broker until its producer or the limit is changed")]
    BadEvent {
        /// The event.
        event: EventPlace,
        /// What is wrong with it.
        #[source]
        source: EventError,
    },
    /// The handler says that something which every event needs is away; no attempt was counted.
    #[error("what {event} needs is away ({reason}); pause the stream and process the event again later")]
    Unavailable {
        /// The event.
        event: EventPlace,
        /// What the handler said, with control characters escaped.
        reason: String,
    },
    /// The stream is paused, because what handlers need seems to be away: many entities fail, or a handler said so. No
    /// attempt was counted, and nothing was logged.
    #[error("the stream of {event} is paused for an outage; process it again in {wait:?}")]
    Paused {
        /// The event.
        event: EventPlace,
        /// After which a call may be let through, as a probe.
        wait: std::time::Duration,
    },
    /// The failure log could not be asked, or written to; what the handler did may have happened.
    #[error("{event} could not be recorded; process it again once the failure log is back")]
    FailureLog {
        /// The event.
        event: EventPlace,
        /// What the failure log said.
        #[source]
        source: FailureLogError,
    },
    /// Another owner has taken the stream over since.
    #[error(
        "{event} belongs to another owner of its stream now; stop, and take the stream over again if it is yours"
    )]
    Fenced {
        /// The event.
        event: EventPlace,
    },
    /// The broker may have handed the event to somebody else meanwhile.
    #[error("the deadline of {event} has passed; leave it to its broker, which delivers it again")]
    DeadlinePassed {
        /// The event.
        event: EventPlace,
    },
    /// A limit on held events is reached; nothing was written.
    #[error(
        "{event} cannot be held, because {limit}; process it again when held events are resolved, or raise the limit"
    )]
    Full {
        /// The event.
        event: EventPlace,
        /// Which limit.
        limit: LimitReached,
    },
    /// An earlier event of its entity in the same batch is not done with, so this one was not begun.
    #[error(
        "{event} was not begun, because the earlier {earlier} of its entity is not done with; process both again"
    )]
    EarlierNotDone {
        /// The event.
        event: EventPlace,
        /// The earlier one.
        earlier: EventPlace,
    },
    /// The consumer is being shut down, and takes no events any more.
    #[error("{event} came while the consumer is shutting down; it is delivered again to whoever comes next")]
    ShuttingDown {
        /// The event.
        event: EventPlace,
    },
    /// A name cannot be used.
    #[error("a name cannot be used")]
    Name(#[from] NameError),
}

impl ProcessError {
    /// The event that was not processed, where there is one.
    #[must_use]
    pub const fn event(&self) -> Option<&EventPlace> {
        match self {
            Self::BadEvent { event, .. }
            | Self::Unavailable { event, .. }
            | Self::Paused { event, .. }
            | Self::FailureLog { event, .. }
            | Self::Fenced { event }
            | Self::EarlierNotDone { event, .. }
            | Self::DeadlinePassed { event }
            | Self::Full { event, .. }
            | Self::ShuttingDown { event } => Some(event),
            Self::Name(_) => None,
        }
    }

    /// Whether the same process may succeed with the same event a little later, without anybody doing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } | Self::Paused { .. } | Self::Full { .. } => true,
            Self::FailureLog { source, .. } => source.is_transient(),
            Self::BadEvent { .. }
            | Self::Fenced { .. }
            | Self::EarlierNotDone { .. }
            | Self::DeadlinePassed { .. }
            | Self::ShuttingDown { .. }
            | Self::Name(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_about_an_event_names_its_stream_and_index_and_not_its_entity_or_payload() {
        let event = Event::builder(StreamName::new("orders/0").unwrap(), Index::MAX, "secret-key")
            .payload("secret")
            .build();
        let place = || EventPlace::from(&event);
        let errors = [
            ProcessError::BadEvent { event: place(), source: EventError::EmptyEntity },
            ProcessError::Unavailable { event: place(), reason: "refused".to_owned() },
            ProcessError::FailureLog { event: place(), source: FailureLogError::Misused { what: "a test" } },
            ProcessError::Fenced { event: place() },
            ProcessError::DeadlinePassed { event: place() },
            ProcessError::Full { event: place(), limit: LimitReached::EntityEvents { max: 9 } },
            ProcessError::ShuttingDown { event: place() },
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains(&event.to_string()), "{text}");
            assert!(!text.contains("secret") && !format!("{error:?}").contains("secret"), "{text}");
            assert_eq!(error.event(), Some(&place()));
        }
    }
}
