//! Where parked events are mirrored to in tests: a list to look at.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::{ParkedEvent, ParkedPublisher, PublishError};

/// A topic of parked events, in memory. Clones are the same topic. For one that fails when it is told to, put a
/// [`FaultyPublisher`](crate::testing::FaultyPublisher) around it.
///
/// ```
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ordered_consumer::{Event, HandlerError, MemoryFailureLog, OrderedConsumer, permanent};
/// use ordered_consumer::in_memory_broker::{InMemoryBroker, InMemoryParkedTopic};
///
/// let broker = InMemoryBroker::new();
/// broker.create_topic("orders", 1)?;
/// broker.publish("orders", "order-1", "unreadable")?;
/// let parked = InMemoryParkedTopic::new();
/// let consumer = OrderedConsumer::new(
///     "billing",
///     |_: Event| async { Err::<(), HandlerError>(permanent("no such order")) },
///     MemoryFailureLog::new(),
/// )
/// .with_parked_mirror(parked.clone());
/// let mirrored = async { while parked.events().is_empty() { tokio::task::yield_now().await } };
/// consumer.run_until(broker.subscribe("billing", &["orders"])?, mirrored).await?;
/// assert_eq!(parked.events()[0].attempts, 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct InMemoryParkedTopic {
    topic: Arc<Mutex<Topic>>,
}

#[derive(Debug, Default)]
struct Topic {
    events: Vec<ParkedEvent>,
    bytes_max: Option<usize>,
}

impl InMemoryParkedTopic {
    /// An empty topic.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that was published, in order, repeats too.
    #[must_use]
    pub fn events(&self) -> Vec<ParkedEvent> {
        self.topic().events.clone()
    }

    /// Refuses for good events of more bytes than this (key, id, type, headers and payload).
    pub fn refuse_above(&self, bytes_max: usize) {
        self.topic().bytes_max = Some(bytes_max);
    }

    fn topic(&self) -> MutexGuard<'_, Topic> {
        self.topic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ParkedPublisher for InMemoryParkedTopic {
    fn describe(&self) -> String {
        "in-memory topic of parked events".to_owned()
    }

    async fn publish(&self, parked: &ParkedEvent) -> Result<(), PublishError> {
        let mut topic = self.topic();
        if topic.bytes_max.is_some_and(|bytes_max| parked.event.size() > bytes_max) {
            return Err(PublishError::Refused("it has too many bytes".into()));
        }
        topic.events.push(parked.clone());
        Ok(())
    }
}
