//! What an adapter implements to send released events back through its broker.

use std::fmt;

use async_trait::async_trait;

use crate::{BoxError, Event};

/// A released event on its way to the retry stream.
#[derive(Clone, Debug)]
pub struct ReleasedEvent {
    /// The event, as the failure log has it.
    pub event: Event,
    /// Attempts made on it, which the copy must carry back.
    pub attempts: u32,
}

/// How far a publish came.
#[derive(Debug)]
pub struct Published {
    /// How many events of the slice went out, from its start.
    pub count: usize,
    /// Why the next one did not; none when all did.
    pub failed: Option<PublishError>,
}

/// Why an event was not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The broker will never take this event, for instance because it is too large with its headers: it goes back
    /// in-process instead.
    #[error("the broker refuses the event for good")]
    Refused(#[source] BoxError),
    /// The broker cannot be reached, or is too busy: the relay tries again.
    #[error("the broker is unavailable")]
    Unavailable(#[source] BoxError),
}

/// An adapter's publishing half.
#[async_trait]
pub trait EventPublisher: fmt::Debug + Send + Sync + 'static {
    /// Where it publishes, in a few words, without credentials.
    fn describe(&self) -> String;

    /// Publishes events of one entity in the slice's order, each so that it reaches the entity's own partition or
    /// group, and nothing after the first failure. A publish whose outcome is unknown counts as failed: a second copy
    /// does no harm.
    async fn publish(&self, events: &[ReleasedEvent]) -> Published;
}
