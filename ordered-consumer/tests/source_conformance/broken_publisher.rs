//! Publishers that are broken on purpose, each in one way.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ordered_consumer::{
    EventPublisher, PublishError, Published, ReleasedEvent, in_memory_broker::InMemoryPublisher,
};

/// What a broken publisher does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PublisherFault {
    /// Goes on after a failure.
    PublishesOn,
    /// Begins with the last.
    PublishesBackward,
    /// Counts the event that did not go out.
    CountsTheFailedOne,
    /// Says that nothing went out.
    CountsNothing,
    /// Takes an outage for a refusal for good.
    RefusesWhenAway,
    /// Takes a refusal for good for an outage.
    AwayWhenItRefuses,
    /// Takes nothing to do for a failure.
    FailsOnNothing,
    /// Publishes the last event, waits, and then publishes the rest.
    WaitsAfterTheLast,
    /// Begins every other slice with the last.
    TurnsEveryOtherSlice,
}

#[derive(Debug)]
pub(super) struct BrokenPublisher {
    inner: InMemoryPublisher,
    fault: PublisherFault,
    slices: AtomicUsize,
}

impl BrokenPublisher {
    pub(super) fn new(inner: InMemoryPublisher, fault: PublisherFault) -> Self {
        Self { inner, fault, slices: AtomicUsize::new(0) }
    }

    async fn each(&self, events: &[ReleasedEvent]) -> Published {
        let mut first_failure = None;
        for (count, event) in events.iter().enumerate() {
            let published = self.inner.publish(std::slice::from_ref(event)).await;
            if let Some(failed) = published.failed {
                first_failure.get_or_insert(Published { count, failed: Some(failed) });
            }
        }
        first_failure.unwrap_or(Published { count: events.len(), failed: None })
    }

    async fn backward(&self, events: &[ReleasedEvent]) -> Published {
        let turned: Vec<ReleasedEvent> = events.iter().rev().cloned().collect();
        self.inner.publish(&turned).await
    }

    async fn last_first(&self, events: &[ReleasedEvent]) -> Published {
        let Some((last, before)) = events.split_last() else { return self.inner.publish(events).await };
        let published = self.inner.publish(std::slice::from_ref(last)).await;
        if published.failed.is_some() {
            return Published { count: 0, ..published };
        }
        tokio::task::yield_now().await;
        let published = self.inner.publish(before).await;
        let count = if published.failed.is_some() { published.count } else { events.len() };
        Published { count, ..published }
    }
}

#[async_trait]
impl EventPublisher for BrokenPublisher {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    async fn publish(&self, events: &[ReleasedEvent]) -> Published {
        let slice = self.slices.fetch_add(1, Ordering::SeqCst);
        let sound = self.inner.publish(events);
        match self.fault {
            PublisherFault::PublishesOn => self.each(events).await,
            PublisherFault::PublishesBackward => self.backward(events).await,
            PublisherFault::TurnsEveryOtherSlice if slice % 2 == 1 => self.backward(events).await,
            PublisherFault::WaitsAfterTheLast => self.last_first(events).await,
            PublisherFault::FailsOnNothing if events.is_empty() => {
                Published { count: 0, failed: Some(PublishError::Unavailable("nothing to do".into())) }
            }
            PublisherFault::CountsNothing => Published { count: 0, ..sound.await },
            PublisherFault::CountsTheFailedOne => {
                let published = sound.await;
                let count = published.count + usize::from(published.failed.is_some());
                Published { count, ..published }
            }
            PublisherFault::RefusesWhenAway => match sound.await {
                Published { count, failed: Some(PublishError::Unavailable(why)) } => {
                    Published { count, failed: Some(PublishError::Refused(why)) }
                }
                other => other,
            },
            PublisherFault::AwayWhenItRefuses => match sound.await {
                Published { count, failed: Some(PublishError::Refused(why)) } => {
                    Published { count, failed: Some(PublishError::Unavailable(why)) }
                }
                other => other,
            },
            PublisherFault::FailsOnNothing | PublisherFault::TurnsEveryOtherSlice => sound.await,
        }
    }
}
