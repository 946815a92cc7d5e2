//! The consuming half over a queue.

use std::{fmt, future::ready, sync::Arc};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    BrokerError, InMemoryPublisher, MemberId, queue::Queue, queue_consumer::QueueConsumer, state::Shared,
};
use crate::{
    Assignment, Confirmation, Confirming, EventSource, Settlement, Sharing, SourceError, SourceMessage,
};

/// A consumer of a queue of an [`InMemoryBroker`](super::InMemoryBroker): one shared stream, named as the queue.
///
/// Dropped without [`close`](EventSource::close), it has crashed: what it received is delivered again once its
/// visibility has run out. Closed, it gives back at once what it has not settled.
pub struct InMemoryQueueSource {
    shared: Arc<Shared>,
    queue: String,
    member: MemberId,
}

impl InMemoryQueueSource {
    pub(super) fn join(shared: Arc<Shared>, name: &str) -> Result<Self, BrokerError> {
        let member = shared.change(|state| {
            let member = MemberId(state.new_id());
            state.queue(name)?.join(member, Instant::now());
            Ok::<_, BrokerError>(member)
        })?;
        Ok(Self { shared, queue: name.to_owned(), member })
    }

    /// Receives from the queue's retry stream too: copies that its publisher sent out.
    #[must_use]
    pub fn with_retry(self) -> Self {
        self.change(|consumer| consumer.takes_copies = true);
        self
    }

    /// Has [`SourceMessage::Ended`] said once everything that is published is settled, even if the queue is not
    /// closed: for a queue that was filled beforehand.
    #[must_use]
    pub fn end_when_drained(self) -> Self {
        self.change(|consumer| consumer.ends = true);
        self
    }

    /// Who it is, for the broker's hooks.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// What sends released events to the queue's retry stream.
    #[must_use]
    pub fn retry_publisher(&self) -> InMemoryPublisher {
        InMemoryPublisher::of_queue(Arc::clone(&self.shared), &self.queue)
    }

    fn change(&self, change: impl FnOnce(&mut QueueConsumer)) {
        self.in_queue(|queue| {
            if let Some(consumer) = queue.consumers.get_mut(&self.member) {
                change(consumer);
            }
        });
    }

    fn in_queue(&self, change: impl FnOnce(&mut Queue)) {
        let changed = self.shared.change(|state| state.with_queue(&self.queue, |queue, _| change(queue)));
        // It only fails without a queue, and a queue is never removed.
        let _ = changed;
    }

    /// Tells the broker something, at once or when it is available again.
    fn tell(&self, told: impl FnOnce(&mut Queue, MemberId) + Send + 'static) {
        let (name, member) = (self.queue.clone(), self.member);
        self.shared.change(|state| {
            state.tell(move |state| {
                let done = state.with_queue(&name, |queue, _| told(queue, member));
                // It only fails without a queue, and a queue is never removed.
                let _ = done;
            });
        });
    }

    fn set_paused(&self, assignment: &Assignment, paused: bool) {
        self.change(|consumer| {
            if consumer.epoch == assignment.epoch {
                consumer.paused = paused;
            }
        });
    }
}

#[async_trait]
impl EventSource for InMemoryQueueSource {
    fn describe(&self) -> String {
        format!("in-memory queue {}", self.queue)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Shared
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        let (shared, queue, member) = (&self.shared, &self.queue, self.member);
        shared.wait_for(|state| state.queue_turn_of(queue, member)).await
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        let mut state = self.shared.lock();
        let confirmed = state.available().map(|()| {
            let queue = state.queue(&self.queue).ok().filter(|queue| queue.owns(self.member, assignment))?;
            Some(Confirmation { identity: Some(queue.identity.clone()), ..Confirmation::default() })
        });
        Box::pin(ready(confirmed))
    }

    fn pause(&mut self, assignment: &Assignment) {
        self.set_paused(assignment, true);
    }

    fn resume(&mut self, assignment: &Assignment) {
        self.set_paused(assignment, false);
    }

    fn settle(&mut self, settlement: Settlement) {
        self.tell(move |queue, member| queue.settle(member, &settlement));
    }

    fn abandon(&mut self, assignment: &Assignment, receipts: &[u64]) {
        let (assignment, receipts) = (assignment.clone(), receipts.to_vec());
        self.tell(move |queue, member| {
            if queue.owns(member, &assignment) {
                queue.abandon(member, &receipts);
            }
        });
    }

    fn pause_copies(&mut self) {
        self.change(|consumer| consumer.copies_paused = true);
    }

    fn resume_copies(&mut self) {
        self.change(|consumer| consumer.copies_paused = false);
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        let receipts = receipts.to_vec();
        self.tell(move |queue, member| queue.retry.settle(member, &receipts));
    }

    fn release(&mut self, _assignment: &Assignment) {
        // A queue is never revoked: there is nothing to hand on.
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.shared.lock().available()?;
        self.in_queue(|queue| {
            queue.leave(self.member, true);
        });
        Ok(())
    }
}

impl Drop for InMemoryQueueSource {
    fn drop(&mut self) {
        self.in_queue(|queue| {
            queue.leave(self.member, false);
        });
    }
}

impl fmt::Debug for InMemoryQueueSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
