//! Sources and a publisher that are broken on purpose, each in one way.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a fault concerns few variants, and leaves the rest alone"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::{Arc, OnceLock},
    time::Duration,
};

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirmation, Confirming, Delivery, EventSource, Index, LastIndexes, Lease, Settlement,
    Sharing, SourceError, SourceMessage, in_memory_broker::InMemoryBroker,
};

/// What a broken source does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Waits while it has taken a message, which a dropped call loses.
    NextIsNotCancelSafe,
    /// Settles everything that was settled, without regard to the watermark.
    SettlesPastTheWatermark,
    /// Settles what it delivers.
    SettlesOnDelivery,
    /// Forgets what it is to settle.
    NeverSettles,
    /// Tells the broker of settlements even if the assignment is gone.
    SettlesForOldAssignments,
    /// Says yes whatever it is asked.
    ConfirmsEverything,
    /// Remembers that it has confirmed a stream, and goes on with it.
    ConfirmsFromMemory,
    /// Confirms by itself.
    DeliversUnconfirmed,
    /// Releases what it is asked to release without waiting for the engine.
    ReleasesAtOnce,
    /// Hands a batch over backward.
    DeliversBackward,
    /// Leaves out the last event of a batch.
    DropsTheLast,
    /// Goes on when it is to pause.
    NeverPauses,
    NeverPausesCopies,
    /// Deletes an entity's earlier events with a later one.
    DeletesEarlierOnes,
    /// Forgets deliveries that are given back.
    NeverAbandons,
    /// Settles copies when they come.
    SettlesCopiesOnDelivery,
    /// Never settles a copy.
    NeverSettlesCopies,
    /// Gives each delivery and each assignment a lease of its own, which nobody extends.
    LeasesEach,
    /// Gives leases that last for days.
    LeasesForever,
    /// Gives assignments without a lease.
    NoLeases,
    /// Takes every delivery for the first.
    HidesRedeliveries,
    /// Tells of a layout as it was when its first stream was confirmed.
    CountsStreamsOnce,
    /// Numbers streams from one.
    NumbersFromOne,
    /// Tells how far streams reach that still have events, and takes others for empty.
    ForgetsWhatIsSettled,
    /// Tells no position.
    TellsNoPosition,
    /// Does not say that its stream is its own.
    ConfirmsNothing,
    /// Says to everybody that its stream is another one.
    MakesIdentitiesUp,
    /// Says that something is settled as soon as it was told.
    SaysSettledTooFar,
}

pub(super) struct Broken {
    inner: Box<dyn EventSource>,
    broker: InMemoryBroker,
    fault: Fault,
    delivered: BTreeMap<u64, Vec<Delivery>>,
    confirmed: BTreeSet<u64>,
    streams: Arc<OnceLock<u32>>,
    settled: bool,
}

impl Broken {
    pub(super) fn new(inner: Box<dyn EventSource>, broker: &InMemoryBroker, fault: Fault) -> Self {
        Self {
            inner,
            broker: broker.clone(),
            fault,
            delivered: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            streams: Arc::default(),
            settled: false,
        }
    }

    fn all(assignment: &Assignment, deliveries: &[Delivery]) -> Settlement {
        let events = deliveries.iter().map(|one| (one.event.index(), one.receipt)).collect();
        let watermark = deliveries.iter().map(|one| one.event.index()).max();
        Settlement { assignment: assignment.clone(), events, held: Vec::new(), watermark }
    }

    async fn corrupt(&mut self, mut message: SourceMessage) -> SourceMessage {
        match &mut message {
            SourceMessage::Assigned(streams) if self.fault == Fault::DeliversUnconfirmed => {
                for stream in streams {
                    self.inner.confirm(&stream.assignment).await.unwrap();
                }
            }
            SourceMessage::Assigned(streams) => {
                for stream in streams {
                    stream.lease = self.bent(stream.lease.take());
                }
            }
            SourceMessage::Revoked { assignments, .. } if self.fault == Fault::ReleasesAtOnce => {
                for assignment in assignments {
                    self.inner.release(assignment);
                }
            }
            SourceMessage::Events { assignment, deliveries } => {
                self.delivered.entry(assignment.epoch).or_default().extend(deliveries.iter().cloned());
                self.corrupt_events(&assignment.clone(), deliveries);
            }
            SourceMessage::Copies(copies) if self.fault == Fault::SettlesCopiesOnDelivery => {
                let receipts: Vec<u64> = copies.iter().map(|copy| copy.receipt).collect();
                self.inner.settle_copies(&receipts);
            }
            SourceMessage::Settled { through, .. } if self.fault == Fault::SaysSettledTooFar => {
                *through = Index::new(through.get() + 1);
            }
            _ => {}
        }
        message
    }

    fn bent(&self, lease: Option<Lease>) -> Option<Lease> {
        match self.fault {
            Fault::LeasesEach => lease.map(|lease| Lease::new(lease.remaining())),
            Fault::LeasesForever => lease.map(|_| Lease::new(Duration::from_secs(1_000_000))),
            Fault::NoLeases => None,
            _ => lease,
        }
    }

    fn corrupt_events(&mut self, assignment: &Assignment, deliveries: &mut Vec<Delivery>) {
        match self.fault {
            Fault::SettlesOnDelivery => self.inner.settle(Self::all(assignment, deliveries)),
            Fault::DeliversBackward => deliveries.reverse(),
            Fault::DropsTheLast if deliveries.len() > 1 => {
                deliveries.pop();
            }
            Fault::LeasesEach | Fault::LeasesForever => {
                for delivery in deliveries {
                    delivery.lease = self.bent(delivery.lease.take());
                }
            }
            Fault::HidesRedeliveries => {
                for delivery in deliveries {
                    let mut context = delivery.event.context();
                    context.redelivered = false;
                    delivery.event = delivery.event.clone().with_context(context);
                }
            }
            _ => {}
        }
    }

    /// Adds every event of the same entities that came before.
    fn with_earlier(&self, settlement: &mut Settlement) {
        let delivered = self.delivered.get(&settlement.assignment.epoch).into_iter().flatten();
        let told = mem::take(&mut settlement.events);
        let last = told.iter().map(|(index, _)| *index).max();
        let earlier = delivered.filter(|one| Some(one.event.index()) <= last);
        settlement.events = earlier.map(|one| (one.event.index(), one.receipt)).collect();
    }
}

#[async_trait]
impl EventSource for Broken {
    fn describe(&self) -> String {
        format!("{}, broken: {:?}", self.inner.describe(), self.fault)
    }

    fn sharing(&self) -> Sharing {
        self.inner.sharing()
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        let message = self.inner.next().await?;
        if self.fault == Fault::NextIsNotCancelSafe {
            tokio::task::yield_now().await;
        }
        Ok(self.corrupt(message).await)
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        if self.fault == Fault::ConfirmsFromMemory && !self.confirmed.insert(assignment.epoch) {
            return Box::pin(std::future::ready(Ok(Some(Confirmation::default()))));
        }
        let confirming = self.inner.confirm(assignment);
        let everything = (self.fault == Fault::ConfirmsEverything).then(Confirmation::default);
        let (fault, streams, epoch) = (self.fault, Arc::clone(&self.streams), assignment.epoch);
        Box::pin(async move {
            let mut confirmation = confirming.await?.or(everything);
            let layout = confirmation.as_mut().and_then(|confirmation| confirmation.layout.as_mut());
            match (fault, layout) {
                (Fault::CountsStreamsOnce, Some(layout)) => {
                    layout.streams = *streams.get_or_init(|| layout.streams);
                }
                (Fault::NumbersFromOne, Some(layout)) => layout.number += 1,
                _ => {}
            }
            match (fault, &mut confirmation) {
                (Fault::TellsNoPosition, Some(confirmation)) => confirmation.position = None,
                (Fault::ConfirmsNothing, confirmation) => *confirmation = None,
                (Fault::MakesIdentitiesUp, Some(confirmation)) => {
                    confirmation.identity = Some(format!("of {epoch}").into());
                }
                _ => {}
            }
            Ok(confirmation)
        })
    }

    fn last_indexes(&mut self, assignment: &Assignment, streams: u32) -> LastIndexes {
        if self.fault == Fault::ForgetsWhatIsSettled && self.settled {
            let none = vec![None; usize::try_from(streams).unwrap()];
            return Box::pin(std::future::ready(Ok(none)));
        }
        self.inner.last_indexes(assignment, streams)
    }

    fn pause(&mut self, assignment: &Assignment) {
        if self.fault != Fault::NeverPauses {
            self.inner.pause(assignment);
        }
    }

    fn resume(&mut self, assignment: &Assignment) {
        self.inner.resume(assignment);
    }

    fn pause_copies(&mut self) {
        if self.fault != Fault::NeverPausesCopies {
            self.inner.pause_copies();
        }
    }

    fn resume_copies(&mut self) {
        self.inner.resume_copies();
    }

    fn settle(&mut self, mut settlement: Settlement) {
        self.settled = true;
        match self.fault {
            Fault::NeverSettles => return,
            Fault::SettlesPastTheWatermark => {
                settlement.watermark = settlement.events.iter().map(|(index, _)| *index).max();
            }
            Fault::DeletesEarlierOnes => self.with_earlier(&mut settlement),
            Fault::SettlesForOldAssignments => {
                // Behind the broker's back, as a commit without a generation would.
                let next = settlement.watermark.map(|index| Index::new(index.get() + 1));
                if let Some(next) = next {
                    self.broker.rewind("g", &settlement.assignment.stream, next).unwrap();
                }
            }
            _ => {}
        }
        self.inner.settle(settlement);
    }

    fn abandon(&mut self, assignment: &Assignment, receipts: &[u64]) {
        if self.fault != Fault::NeverAbandons {
            self.inner.abandon(assignment, receipts);
        }
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        if self.fault != Fault::NeverSettlesCopies {
            self.inner.settle_copies(receipts);
        }
    }

    fn release(&mut self, assignment: &Assignment) {
        self.inner.release(assignment);
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.inner.close().await
    }
}
