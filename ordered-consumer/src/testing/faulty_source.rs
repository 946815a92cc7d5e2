//! A source that fails when it is told to.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use tokio::sync::watch;

use super::cancelled::{cancelled_at_poll, yields};
use crate::{
    Assignment, Confirming, Delivery, EventSource, Index, LastIndexes, Settlement, Sharing, SourceError,
    SourceMessage,
};

/// A source around another one, which fails by a plan. Without a plan it is the source that it is around.
///
/// A source belongs to the run that reads it, so its faults are planned through a handle, [`SourceFaults`].
///
/// ```
/// # use ordered_consumer::{EventSource, in_memory_broker::InMemoryBroker, testing::FaultySource};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let broker = InMemoryBroker::new();
/// broker.create_topic("orders", 1)?;
/// let mut source = FaultySource::new(broker.subscribe("billing", &["orders"])?);
/// let faults = source.faults();
/// faults.unavailable_for(1);
/// assert!(source.next().await.is_err());
/// assert!(source.next().await.is_ok());
/// # Ok(())
/// # }
/// ```
pub struct FaultySource<S> {
    source: S,
    faults: SourceFaults,
    /// What is said next.
    later: Option<SourceMessage>,
}

/// Plans what goes wrong with a [`FaultySource`]. Clones plan for the same one.
#[derive(Clone)]
pub struct SourceFaults {
    plan: Arc<Mutex<Plan>>,
    /// Whether the source stalls.
    stalled: Arc<watch::Sender<bool>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Plan {
    unavailable: u32,
    fatal: bool,
    unconfirmed: u32,
    loses_settlements: bool,
    yields: u32,
    drops_next_at: Option<usize>,
    unreadable: Option<Index>,
}

impl<S> FaultySource<S> {
    /// A source without faults yet.
    #[must_use]
    pub fn new(source: S) -> Self {
        let faults = SourceFaults { plan: Arc::default(), stalled: Arc::new(watch::Sender::new(false)) };
        Self { source, faults, later: None }
    }

    /// What plans its faults.
    #[must_use]
    pub fn faults(&self) -> SourceFaults {
        self.faults.clone()
    }
}

impl SourceFaults {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next so many calls of `next`, `confirm` and `close` say that the broker cannot be reached.
    pub fn unavailable_for(&self, calls: u32) {
        self.plan().unavailable = calls;
    }

    /// The next call of `next` or `confirm` says that the source cannot go on.
    pub fn fail_for_good(&self) {
        self.plan().fatal = true;
    }

    /// The next so many calls of `confirm` say that the stream is not this source's any more.
    pub fn unconfirmed_for(&self, calls: u32) {
        self.plan().unconfirmed = calls;
    }

    /// Whether what is settled from now on is forgotten, as when a broker loses it: it will be delivered again.
    pub fn lose_settlements(&self, lose: bool) {
        self.plan().loses_settlements = lose;
    }

    /// From now on every call of `next`, `confirm` and `close` is pending so many times before it does anything. It
    /// wakes itself, and needs no clock.
    pub fn slow(&self, pending: u32) {
        self.plan().yields = pending;
    }

    /// From now on every call of `next` is dropped when it is pending for the n-th time, counted from 1, and made again:
    /// once, so that it waits as it should. With none, no more. `next` promises to be cancel safe.
    pub fn drop_each_next_at(&self, pending: Option<usize>) {
        self.plan().drops_next_at = pending;
    }

    /// From now on what is at this index, of whichever stream, is no event.
    pub fn cannot_read(&self, index: Index) {
        self.plan().unreadable = Some(index);
    }

    /// From now on `next`, `confirm` and `close` wait until [`unstall`](Self::unstall).
    pub fn stall(&self) {
        self.stalled.send_replace(true);
    }

    /// Lets what waits go on.
    pub fn unstall(&self) {
        self.stalled.send_replace(false);
    }

    /// Forgets what was planned; a stalled source goes on stalling.
    pub fn recover(&self) {
        *self.plan() = Plan::default();
    }

    /// Waits as long as planned, and then fails if planned.
    async fn pass(&self) -> Result<(), SourceError> {
        // The sender is in `self`, so it cannot be gone.
        let _ = self.stalled.subscribe().wait_for(|stalled| !stalled).await;
        let pending = self.plan().yields;
        yields(pending).await;
        let mut plan = self.plan();
        if plan.fatal {
            plan.fatal = false;
            return Err(SourceError::Fatal { why: "a planned fault".to_owned(), source: None });
        }
        if plan.unavailable > 0 {
            plan.unavailable -= 1;
            return Err(SourceError::Unavailable("the broker is away, as planned".into()));
        }
        Ok(())
    }

    fn denies(&self) -> bool {
        let mut plan = self.plan();
        let denies = plan.unconfirmed > 0;
        plan.unconfirmed = plan.unconfirmed.saturating_sub(1);
        denies
    }
}

impl<S: EventSource> FaultySource<S> {
    async fn asked(&mut self) -> Result<SourceMessage, SourceError> {
        let drops_at = self.faults.plan().drops_next_at;
        if let Some(pending) = drops_at
            && let Some(message) = cancelled_at_poll(pending, self.source.next()).await
        {
            return message;
        }
        self.source.next().await
    }

    /// Hands over what comes before the index, and then says that this is no event; what follows is left out.
    fn without(
        &mut self,
        unreadable: Index,
        assignment: Assignment,
        mut deliveries: Vec<Delivery>,
    ) -> SourceMessage {
        let found = deliveries.iter().position(|delivery| delivery.event.index() == unreadable);
        let Some(place) = found else { return SourceMessage::Events { assignment, deliveries } };
        deliveries.truncate(place);
        let why = "it is no event, as planned".to_owned();
        let said = SourceMessage::Unreadable { assignment: assignment.clone(), index: unreadable, why };
        if deliveries.is_empty() {
            return said;
        }
        self.later = Some(said);
        SourceMessage::Events { assignment, deliveries }
    }
}

#[async_trait]
impl<S: EventSource> EventSource for FaultySource<S> {
    fn describe(&self) -> String {
        format!("{}, with faults", self.source.describe())
    }

    fn sharing(&self) -> Sharing {
        self.source.sharing()
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        self.faults.pass().await?;
        if let Some(message) = self.later.take() {
            return Ok(message);
        }
        let message = self.asked().await?;
        let unreadable = self.faults.plan().unreadable;
        match (message, unreadable) {
            (SourceMessage::Events { assignment, deliveries }, Some(index)) => {
                Ok(self.without(index, assignment, deliveries))
            }
            (message, _) => Ok(message),
        }
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        let faults = self.faults.clone();
        if faults.denies() {
            return Box::pin(async move { faults.pass().await.map(|()| None) });
        }
        let confirming = self.source.confirm(assignment);
        Box::pin(async move {
            faults.pass().await?;
            confirming.await
        })
    }

    fn last_indexes(&mut self, assignment: &Assignment, streams: u32) -> LastIndexes {
        let (faults, told) = (self.faults.clone(), self.source.last_indexes(assignment, streams));
        Box::pin(async move {
            faults.pass().await?;
            told.await
        })
    }

    fn pause(&mut self, assignment: &Assignment) {
        self.source.pause(assignment);
    }

    fn resume(&mut self, assignment: &Assignment) {
        self.source.resume(assignment);
    }

    fn settle(&mut self, settlement: Settlement) {
        let loses = self.faults.plan().loses_settlements;
        if !loses {
            self.source.settle(settlement);
        }
    }

    fn abandon(&mut self, assignment: &Assignment, receipts: &[u64]) {
        self.source.abandon(assignment, receipts);
    }

    fn pause_copies(&mut self) {
        self.source.pause_copies();
    }

    fn resume_copies(&mut self) {
        self.source.resume_copies();
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        let loses = self.faults.plan().loses_settlements;
        if !loses {
            self.source.settle_copies(receipts);
        }
    }

    fn release(&mut self, assignment: &Assignment) {
        self.source.release(assignment);
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.faults.pass().await?;
        self.source.close().await
    }
}

impl<S: EventSource> fmt::Debug for FaultySource<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}

impl fmt::Debug for SourceFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SourceFaults").field(&*self.plan()).finish()
    }
}
