//! What an adapter implements to send released events back through its broker.

use std::fmt;

use async_trait::async_trait;

use crate::{BoxError, ConsumerName, Event, ParkCause, gate::Failure};

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
    /// The broker will never take this event, for instance because it is too large with its headers: a released one goes
    /// back in-process instead, and a parked one is not mirrored.
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

/// A parked event, as it is shown to whoever reads the mirror.
#[derive(Clone, Debug)]
pub struct ParkedEvent {
    /// The consumer whose handler it is parked for.
    pub consumer: ConsumerName,
    /// The event, as the failure log has it: with an operator's edits, and with the name that its stream has now, which is
    /// `NAME~GENERATION` for one that was set apart by [`StreamDecision::NewStream`](crate::StreamDecision::NewStream).
    pub event: Event,
    /// Why it is parked.
    pub cause: ParkCause,
    /// Attempts made on it; zero for one that was never run, as when an operator had paused its entity.
    pub attempts: u32,
    /// Its first failure, with texts of at most
    /// [`FAILURE_TEXT_BYTES_MAX`](crate::gate::FAILURE_TEXT_BYTES_MAX) bytes; none if it has not failed.
    pub first_failure: Option<Failure>,
    /// Its last failure, bounded in the same way.
    pub last_failure: Option<Failure>,
    /// The gate's version: with stream, entity and index it tells a repeat, which has the same, from another park of the
    /// same event.
    pub version: u64,
}

/// An adapter's mirror of parked events, for tools that expect to find them in a topic.
///
/// What is published here is a copy for people and their tools: the failure log has the event, and only what operators
/// do there un-parks it. Nothing ever reads the mirror back.
#[async_trait]
pub trait ParkedPublisher: fmt::Debug + Send + Sync + 'static {
    /// Where it publishes, in a few words, without credentials.
    fn describe(&self) -> String;

    /// Publishes one parked event, durably when it says `Ok`. A publish whose outcome is unknown is
    /// [`Unavailable`](PublishError::Unavailable): a second copy does no harm.
    ///
    /// Several calls may be under way at once, for different entities. One that takes longer than
    /// [`Timeouts::redelivery`](crate::Timeouts::redelivery), or than a consumer that stops waits for it, is dropped, and
    /// made again later.
    ///
    /// # Errors
    /// [`PublishError::Refused`]: it is reported once, and this park is not mirrored. [`PublishError::Unavailable`]: it is
    /// tried again, after waits that double up to an hour.
    async fn publish(&self, parked: &ParkedEvent) -> Result<(), PublishError>;
}
