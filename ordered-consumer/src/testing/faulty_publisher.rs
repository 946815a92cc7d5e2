//! A publisher that fails when it is told to.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::cancelled::{cancelled_at_poll, yields};
use crate::{EventPublisher, ParkedEvent, ParkedPublisher, PublishError, Published, ReleasedEvent};

/// How an event does not go out, or seems not to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PublishFault {
    /// The broker cannot be reached: the event does not go out.
    Unavailable,
    /// The broker refuses the event for good.
    Refused,
    /// The event goes out, and the answer is lost: it counts as failed.
    AnswerLost,
    /// The publish is dropped when it is pending for this time, counted from 1, and counts as failed; what had gone out
    /// by then has. One that is ready before has gone out.
    DroppedAt(usize),
}

/// A publisher around another one, for released or for parked events, which fails by a plan. Without a plan it is the publisher that it is around. Clones
/// share the plan.
///
/// ```
/// # use ordered_consumer::{EventPublisher, Event, ReleasedEvent, in_memory_broker::InMemoryBroker};
/// # use ordered_consumer::testing::{FaultyPublisher, PublishFault};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = InMemoryBroker::new();
/// broker.create_topic("orders", 1)?;
/// let _source = broker.subscribe("billing", &["orders"])?;
/// let publisher = FaultyPublisher::new(broker.retry_publisher("billing"));
/// let (stream, first) = broker.publish("orders", "a", "payload")?;
/// let released = |index| ReleasedEvent { event: Event::builder(stream.clone(), index, "a").build(), attempts: 1 };
///
/// publisher.script([None, Some(PublishFault::Unavailable)]);
/// let published = publisher.publish(&[released(first), released(ordered_consumer::Index::new(1))]).await;
/// assert_eq!((published.count, published.failed.is_some()), (1, true));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FaultyPublisher<P> {
    publisher: P,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    script: VecDeque<Option<PublishFault>>,
    yields: u32,
    events: u64,
}

impl<P> FaultyPublisher<P> {
    /// A publisher without faults yet.
    #[must_use]
    pub fn new(publisher: P) -> Self {
        Self { publisher, plan: Arc::default() }
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens to the next events, one after another, over all publishes; none: nothing. After those that were
    /// planned already.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<PublishFault>>) {
        self.plan().script.extend(faults);
    }

    /// The next so many events go wrong in this way; after those that were planned already.
    pub fn fail_next(&self, events: usize, fault: PublishFault) {
        self.script(std::iter::repeat_n(Some(fault), events));
    }

    /// From now on every event is pending so many times before it goes out. It wakes itself, and needs no clock.
    pub fn slow(&self, pending: u32) {
        self.plan().yields = pending;
    }

    /// Forgets what was planned.
    pub fn recover(&self) {
        let mut plan = self.plan();
        (plan.script, plan.yields) = (VecDeque::new(), 0);
    }

    /// How many events it was to publish so far, whatever came of them.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.plan().events
    }

    /// The next event's fault, and how slow it is.
    fn next(&self) -> (Option<PublishFault>, u32) {
        let mut plan = self.plan();
        plan.events += 1;
        (plan.script.pop_front().flatten(), plan.yields)
    }
}

impl<P: Sync> FaultyPublisher<P> {
    /// Publishes one event, or not, as planned.
    async fn one(
        &self,
        publish: impl Future<Output = Result<(), PublishError>> + Send,
    ) -> Result<(), PublishError> {
        let (fault, pending) = self.next();
        let publish = async {
            yields(pending).await;
            publish.await
        };
        match fault {
            None => publish.await,
            Some(PublishFault::Unavailable) => {
                Err(PublishError::Unavailable("the broker is away, as planned".into()))
            }
            Some(PublishFault::Refused) => Err(PublishError::Refused("refused, as planned".into())),
            Some(PublishFault::AnswerLost) => {
                publish.await?;
                Err(PublishError::Unavailable("the answer is lost, as planned".into()))
            }
            Some(PublishFault::DroppedAt(pending)) => {
                let published = cancelled_at_poll(pending, publish).await;
                published.unwrap_or_else(|| Err(PublishError::Unavailable("dropped, as planned".into())))
            }
        }
    }
}

#[async_trait]
impl<P: EventPublisher> EventPublisher for FaultyPublisher<P> {
    fn describe(&self) -> String {
        format!("{}, with faults", self.publisher.describe())
    }

    async fn publish(&self, events: &[ReleasedEvent]) -> Published {
        for (count, event) in events.iter().enumerate() {
            let publish = async {
                let published = self.publisher.publish(std::slice::from_ref(event)).await;
                published.failed.map_or(Ok(()), Err)
            };
            if let Err(error) = self.one(publish).await {
                return Published { count, failed: Some(error) };
            }
        }
        Published { count: events.len(), failed: None }
    }
}

#[async_trait]
impl<P: ParkedPublisher> ParkedPublisher for FaultyPublisher<P> {
    fn describe(&self) -> String {
        format!("{}, with faults", self.publisher.describe())
    }

    async fn publish(&self, parked: &ParkedEvent) -> Result<(), PublishError> {
        self.one(self.publisher.publish(parked)).await
    }
}
