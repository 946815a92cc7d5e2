//! Reading from a source, and checking everything that it says.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use super::SourceFixture;
use crate::{
    Assignment, Confirmation, Delivery, EventSource, Index, Lease, ReturnedCopy, Settlement, Sharing,
    SourceMessage, StreamName, error_text, testing::cancelled::cancelled_at_poll,
};

/// An event that came, and under which assignment.
#[derive(Clone, Debug)]
pub struct Received {
    /// The assignment.
    pub assignment: Assignment,
    /// The event.
    pub delivery: Delivery,
}

impl Received {
    /// The event's index.
    #[must_use]
    pub fn index(&self) -> Index {
        self.delivery.event.index()
    }
}

/// Reads from a source as an engine would, and panics when it says something that no source may say:
/// * an epoch is given twice;
/// * a batch is empty, names another stream than its assignment, or goes back within itself;
/// * an owned stream's event comes under an assignment that is not confirmed, or not above the one before it;
/// * a shared stream's event comes without a lease;
/// * more is said to be settled than was.
pub struct Reader {
    source: Box<dyn EventSource>,
    patience: Duration,
    quiet: Duration,
    confirms: bool,
    epochs: BTreeSet<u64>,
    /// What is assigned, confirmed or not, with the index that came last.
    assigned: BTreeMap<u64, (Assignment, bool, Option<Index>)>,
    settled: BTreeMap<u64, Index>,
    told_settled: Option<Index>,
    /// By epoch, the first event that came, and what was said to be settled before one did.
    first: BTreeMap<u64, Index>,
    settled_before: BTreeMap<u64, Index>,
    events: VecDeque<Received>,
    copies: VecDeque<ReturnedCopy>,
    revoked: VecDeque<Assignment>,
    /// The leases of owned streams, by epoch.
    leases: BTreeMap<u64, Lease>,
}

impl Reader {
    /// One more source of the fixture's group, to read from.
    pub async fn open(fixture: &mut dyn SourceFixture) -> Self {
        let source = fixture.open().await;
        assert_eq!(source.sharing(), fixture.sharing());
        Self {
            source,
            patience: fixture.patience(),
            quiet: fixture.quiet(),
            confirms: true,
            epochs: BTreeSet::new(),
            assigned: BTreeMap::new(),
            settled: BTreeMap::new(),
            told_settled: None,
            first: BTreeMap::new(),
            settled_before: BTreeMap::new(),
            events: VecDeque::new(),
            copies: VecDeque::new(),
            revoked: VecDeque::new(),
            leases: BTreeMap::new(),
        }
    }

    /// Leaves assignments unconfirmed from now on.
    pub fn stop_confirming(&mut self) {
        self.confirms = false;
    }

    /// Confirms whatever is assigned, again if need be, and whatever will be.
    pub async fn confirm_all(&mut self) {
        self.confirms = true;
        let assigned: Vec<Assignment> =
            self.assigned.values().map(|(assigned, ..)| assigned.clone()).collect();
        for assignment in assigned {
            self.confirm_one(&assignment).await;
        }
    }

    async fn confirm_one(&mut self, assignment: &Assignment) {
        if self.confirms(assignment).await
            && let Some((_, confirmed, last)) = self.assigned.get_mut(&assignment.epoch)
        {
            // Confirmed again, it begins again.
            (*confirmed, *last) = (true, None);
        }
    }

    /// Whether the source confirms this assignment.
    pub async fn confirms(&mut self, assignment: &Assignment) -> bool {
        self.confirmation(assignment).await.is_some()
    }

    /// What the source says of this assignment's stream, if it confirms it.
    pub async fn confirmation(&mut self, assignment: &Assignment) -> Option<Confirmation> {
        let confirmed = timeout(self.patience, self.source.confirm(assignment)).await;
        match confirmed {
            Ok(Ok(confirmed)) => confirmed,
            other => panic!("the source does not say whether {assignment:?} is its own: {other:?}"),
        }
    }

    /// Waits for so many events.
    pub async fn read(&mut self, count: usize) -> Vec<Received> {
        while self.events.len() < count {
            if !self.step(self.patience).await {
                panic!("{} events of {count} came, and then nothing", self.events.len());
            }
        }
        self.events.drain(..count).collect()
    }

    /// Waits until events of all these places have come, in whichever order and with whatever else.
    pub async fn read_all(&mut self, places: &[(StreamName, Index)]) -> Vec<Received> {
        self.read_until(places, false).await
    }

    /// As [`read_all`](Self::read_all), and settles what comes as it comes: a broker of a shared stream may give an entity's
    /// next event only then, if it was published after the last receive.
    pub async fn read_and_settle_all(&mut self, places: &[(StreamName, Index)]) -> Vec<Received> {
        self.read_until(places, true).await
    }

    async fn read_until(&mut self, places: &[(StreamName, Index)], settles: bool) -> Vec<Received> {
        let mut received = Vec::new();
        let mut missing: BTreeSet<&(StreamName, Index)> = places.iter().collect();
        while !missing.is_empty() {
            if self.events.is_empty() && !self.step(self.patience).await {
                panic!("these did not come: {missing:?}");
            }
            let came: Vec<Received> = self.events.drain(..).collect();
            if settles {
                self.settle_through(&came);
            }
            for event in came {
                missing.remove(&(event.assignment.stream.clone(), event.index()));
                received.push(event);
            }
        }
        received
    }

    /// Waits for so many copies from the retry stream.
    pub async fn read_copies(&mut self, count: usize) -> Vec<ReturnedCopy> {
        while self.copies.len() < count {
            if !self.step(self.patience).await {
                panic!("{} copies of {count} came, and then nothing", self.copies.len());
            }
        }
        self.copies.drain(..count).collect()
    }

    /// The streams that the source was asked to release so far.
    pub fn take_revoked(&mut self) -> Vec<Assignment> {
        self.revoked.drain(..).collect()
    }

    /// The events that have come and were not read.
    pub fn take_events_that_came(&mut self) -> Vec<Received> {
        self.events.drain(..).collect()
    }

    /// Waits until the source says that this is settled.
    pub async fn wait_for_settled(&mut self, through: Index) {
        while self.told_settled < Some(through) {
            assert!(self.step(self.patience).await, "it was not said that {through} is settled");
        }
    }

    /// Waits until nothing more is said, and gives the events that came.
    pub async fn read_until_quiet(&mut self) -> Vec<Received> {
        while self.step(self.quiet).await {}
        self.events.drain(..).collect()
    }

    /// Asks until events come, for so long at most, and gives them.
    pub async fn read_within(&mut self, time: Duration) -> Vec<Received> {
        let begin = Instant::now();
        while self.events.is_empty() {
            let left = time.checked_sub(begin.elapsed()).filter(|left| !left.is_zero());
            let Some(left) = left else { break };
            self.step(left).await;
        }
        self.events.drain(..).collect()
    }

    /// Asks for so long, whatever comes, and confirms what is assigned.
    pub async fn ask_for(&mut self, time: Duration) {
        let begin = Instant::now();
        while let Some(left) = time.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
            self.step(left).await;
        }
    }

    /// The leases of the owned streams that were assigned, with their assignments.
    pub fn leases(&self) -> Vec<(Assignment, Lease)> {
        let assigned = |epoch: &u64| self.assigned.get(epoch).map(|(assignment, ..)| assignment.clone());
        self.leases.iter().filter_map(|(epoch, lease)| Some((assigned(epoch)?, lease.clone()))).collect()
    }

    /// Copies that have come and were not read.
    pub fn copies_left(&self) -> usize {
        self.copies.len()
    }

    /// Asks, and drops the call at this poll if it is not ready by then.
    pub async fn ask_and_drop(&mut self, polls: usize) {
        let asked = timeout(self.quiet, cancelled_at_poll(polls, self.source.next())).await;
        match asked {
            Ok(Some(Ok(message))) => self.take(message).await,
            Ok(Some(Err(error))) => panic!("the source failed: {}", error_text(&error)),
            Ok(None) | Err(_) => {}
        }
    }

    /// Takes the next message; says whether one came in time.
    async fn step(&mut self, wait: Duration) -> bool {
        match timeout(wait, self.source.next()).await {
            Ok(Ok(message)) => {
                self.take(message).await;
                true
            }
            Ok(Err(error)) => panic!("the source failed: {}", error_text(&error)),
            Err(_) => false,
        }
    }

    async fn take(&mut self, message: SourceMessage) {
        match message {
            SourceMessage::Assigned(streams) => {
                for stream in streams {
                    let assignment = stream.assignment;
                    self.leases.extend(stream.lease.map(|lease| (assignment.epoch, lease)));
                    assert!(self.epochs.insert(assignment.epoch), "an epoch was given twice: {assignment:?}");
                    self.assigned.insert(assignment.epoch, (assignment.clone(), false, None));
                    if self.confirms {
                        self.confirm_one(&assignment).await;
                    }
                }
            }
            SourceMessage::Revoked { assignments, lost: _ } => self.revoked.extend(assignments),
            SourceMessage::Events { assignment, deliveries } => self.take_events(&assignment, deliveries),
            SourceMessage::Unreadable { index, why, .. } => panic!("index {index} is no event: {why}"),
            SourceMessage::Copies(copies) => self.copies.extend(copies),
            SourceMessage::Settled { assignment, through } => {
                let settled = self.settled.get(&assignment.epoch);
                // What an earlier owner has settled is known, too, and is nothing that comes.
                let begun = self.first.get(&assignment.epoch).is_none_or(|first| through < *first);
                assert!(
                    settled >= Some(&through) || begun,
                    "{through} is said to be settled, and only {settled:?} is"
                );
                if begun {
                    let before = self.settled_before.entry(assignment.epoch).or_insert(through);
                    *before = through.max(*before);
                }
                self.told_settled = self.told_settled.max(Some(through));
            }
            SourceMessage::Ended => {}
        }
    }

    fn take_events(&mut self, assignment: &Assignment, deliveries: Vec<Delivery>) {
        assert!(!deliveries.is_empty(), "a batch without events");
        let owned = self.source.sharing() == Sharing::Owned;
        let Some((_, confirmed, last)) = self.assigned.get_mut(&assignment.epoch) else {
            panic!("events of {assignment:?}, which is not assigned");
        };
        assert!(*confirmed || !owned, "events of {assignment:?}, which is not confirmed");
        let mut before = if owned { *last } else { None };
        for delivery in deliveries {
            let index = delivery.event.index();
            assert_eq!(*delivery.event.stream(), assignment.stream);
            assert!(before < Some(index), "index {index} came after {before:?}");
            if owned {
                self.first.entry(assignment.epoch).or_insert(index);
                let done = self.settled_before.get(&assignment.epoch);
                assert!(done < Some(&index), "index {index} came, and {done:?} was said to be settled");
            }
            assert!(owned || delivery.lease.is_some(), "index {index} came without a lease");
            before = Some(index);
            self.events.push_back(Received { assignment: assignment.clone(), delivery });
        }
        *last = before;
    }

    /// Settles these events of one assignment, and everything up to the watermark.
    pub fn settle(&mut self, events: &[Received], watermark: Option<Index>) {
        let Some(first) = events.first() else { return };
        let assignment = first.assignment.clone();
        if let Some(watermark) = watermark {
            let settled = self.settled.entry(assignment.epoch).or_insert(watermark);
            *settled = watermark.max(*settled);
        }
        let events = events.iter().map(|event| (event.index(), event.delivery.receipt)).collect();
        self.source.settle(Settlement { assignment, events, held: Vec::new(), watermark });
    }

    /// Settles these events, all that came of their streams up to the last of them, and nothing else.
    pub fn settle_through(&mut self, events: &[Received]) {
        let mut by_epoch: BTreeMap<u64, Vec<Received>> = BTreeMap::new();
        for event in events {
            by_epoch.entry(event.assignment.epoch).or_default().push(event.clone());
        }
        for events in by_epoch.values() {
            let watermark = events.iter().map(Received::index).max();
            self.settle(events, watermark.filter(|_| self.source.sharing() == Sharing::Owned));
        }
    }

    /// The source itself, for what a reader does not do.
    pub fn source(&mut self) -> &mut dyn EventSource {
        &mut *self.source
    }

    /// Leaves in an orderly way.
    pub async fn close(mut self) {
        if let Err(error) = self.source.close().await {
            panic!("the source does not close: {}", error_text(&error));
        }
    }

    /// Dies.
    pub async fn crash(self, fixture: &mut dyn SourceFixture) {
        fixture.crash(self.source).await;
    }
}
