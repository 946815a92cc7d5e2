//! The publishing half: copies of released events, on their way to the retry stream.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::state::{Shared, State};
use crate::{Event, EventPublisher, PublishError, Published, ReleasedEvent};

/// Sends released events to the retry stream of a group or of a queue. Clones share their faults.
#[derive(Clone)]
pub struct InMemoryPublisher {
    shared: Arc<Shared>,
    to: Target,
    faults: Arc<Mutex<Faults>>,
}

#[derive(Clone)]
enum Target {
    Group(String),
    Queue(String),
}

type Refuses = Box<dyn Fn(&Event) -> bool + Send>;

/// What goes wrong on purpose.
#[derive(Default)]
struct Faults {
    refuses: Option<Refuses>,
    bytes_max: Option<usize>,
    unavailable_for: u32,
    unknown_for: u32,
}

impl InMemoryPublisher {
    pub(super) fn of_group(shared: Arc<Shared>, group: &str) -> Self {
        Self { shared, to: Target::Group(group.to_owned()), faults: Arc::default() }
    }

    pub(super) fn of_queue(shared: Arc<Shared>, queue: &str) -> Self {
        Self { shared, to: Target::Queue(queue.to_owned()), faults: Arc::default() }
    }

    /// Refuses for good the events of which this is true.
    pub fn refuse(&self, refuses: impl Fn(&Event) -> bool + Send + 'static) {
        self.faults().refuses = Some(Box::new(refuses));
    }

    /// Refuses for good events of more bytes than this (key, id, type, headers and payload).
    pub fn refuse_above(&self, bytes_max: usize) {
        self.faults().bytes_max = Some(bytes_max);
    }

    /// Is unavailable for the next so many events that it is asked to publish.
    pub fn unavailable_for(&self, events: u32) {
        self.faults().unavailable_for = events;
    }

    /// Publishes the next so many events and says that it did not, as when the answer was lost.
    pub fn lose_answers_for(&self, events: u32) {
        self.faults().unknown_for = events;
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish_one(&self, state: &mut State, released: &ReleasedEvent) -> Result<(), PublishError> {
        let mut faults = self.faults();
        if state.unavailable || faults.unavailable_for > 0 {
            faults.unavailable_for = faults.unavailable_for.saturating_sub(1);
            return Err(PublishError::Unavailable("it was told to be".into()));
        }
        if faults.bytes_max.is_some_and(|bytes_max| released.event.size() > bytes_max) {
            return Err(PublishError::Refused("it has too many bytes".into()));
        }
        if faults.refuses.as_ref().is_some_and(|refuses| refuses(&released.event)) {
            return Err(PublishError::Refused("it was told to refuse it".into()));
        }
        self.to.publish(state, released)?;
        if faults.unknown_for > 0 {
            faults.unknown_for -= 1;
            return Err(PublishError::Unavailable("the answer was lost".into()));
        }
        Ok(())
    }
}

impl Target {
    fn publish(&self, state: &mut State, released: &ReleasedEvent) -> Result<(), PublishError> {
        match self {
            Self::Group(name) => {
                let group = state.group(name).map_err(|error| PublishError::Unavailable(error.into()))?;
                group.retry.publish(released, group.options.copies_max)
            }
            Self::Queue(name) => {
                let queue = state.queue(name).map_err(|error| PublishError::Unavailable(error.into()))?;
                queue.retry.publish(released, queue.options.retained_max)
            }
        }
    }
}

#[async_trait]
impl EventPublisher for InMemoryPublisher {
    fn describe(&self) -> String {
        match &self.to {
            Target::Group(group) => format!("in-memory retry stream of group {group}"),
            Target::Queue(queue) => format!("in-memory retry stream of queue {queue}"),
        }
    }

    async fn publish(&self, events: &[ReleasedEvent]) -> Published {
        let latency = self.shared.lock().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        self.shared.change(|state| {
            for (count, event) in events.iter().enumerate() {
                if let Err(error) = self.publish_one(state, event) {
                    return Published { count, failed: Some(error) };
                }
            }
            Published { count: events.len(), failed: None }
        })
    }
}

impl fmt::Debug for InMemoryPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
