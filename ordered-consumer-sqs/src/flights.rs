//! What is received and not deleted. Pure: it says what is to be told to SQS, and is told what came of it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use ordered_consumer::{Index, Lease};
use tokio::time::Instant;

use crate::{
    flight::{Flight, GivesWay, Item, Message, Next, State},
    giving_way::GivingWay,
    shared::MAIN,
};

/// A message to be deleted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delete {
    pub(crate) flight: u64,
    pub(crate) handle: String,
    pub(crate) index: Option<Index>,
}

/// Messages of one group to be made visible again, in this order, by one request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) queue: usize,
    pub(crate) handles: Vec<String>,
}

/// A message to be kept invisible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extend {
    pub(crate) queue: usize,
    pub(crate) flight: u64,
    pub(crate) receipt: u64,
    pub(crate) handle: String,
    pub(crate) index: Option<Index>,
    pub(crate) lasts: Duration,
}

/// All flights of a source.
#[derive(Debug)]
pub(crate) struct Flights {
    ids: u64,
    flights: HashMap<u64, Flight>,
    of_receipt: HashMap<u64, u64>,
    /// Flights whose first message is to be deleted, by queue, with since when the oldest waits.
    ready: HashMap<usize, VecDeque<(u64, Instant)>>,
    releases: VecDeque<Release>,
    /// Releases that are under way.
    releasing: usize,
    giving_way: GivingWay,
    deleting: usize,
}

impl Flights {
    /// None yet. Of those that are held, each gives way to others for so long at most.
    pub(crate) fn new(gives_way_max: Duration) -> Self {
        Self {
            ids: 0,
            flights: HashMap::new(),
            of_receipt: HashMap::new(),
            ready: HashMap::new(),
            releases: VecDeque::new(),
            releasing: 0,
            giving_way: GivingWay::new(gives_way_max),
            deleting: 0,
        }
    }

    /// Takes a group's messages of one receive, with whether it was full; gives the receipts of each, in order.
    pub(crate) fn add(
        &mut self,
        (queue, full): (usize, bool),
        (lease, asked): (Lease, Instant),
        messages: Vec<Message>,
    ) -> (u64, Vec<u64>) {
        self.ids += 1;
        let id = self.ids;
        let (mut items, mut receipts) = (VecDeque::new(), Vec::new());
        for Message { handle, index, state } in messages {
            self.ids += 1;
            let receipt = self.ids;
            receipts.push(receipt);
            self.of_receipt.insert(receipt, id);
            items.push_back(Item { receipt, handle, index, state });
        }
        let flight = Flight {
            queue,
            lease,
            asked,
            extended: asked,
            items,
            full,
            gives_way: GivesWay::NotYet,
            counted: false,
            handed_over: false,
            busy: false,
            stopped: false,
            lost: false,
        };
        self.flights.insert(id, flight);
        // One without an event is over at once.
        self.advance(id);
        (id, receipts)
    }

    /// The engine is given this message, and its flight is extended from here on.
    pub(crate) fn handed_over(&mut self, receipt: u64) {
        let id = self.of_receipt.get(&receipt);
        if let Some(flight) = id.and_then(|id| self.flights.get_mut(id)) {
            flight.handed_over = true;
        }
    }

    /// What became of a message; said of one that is gone, or decided already, it counts for nothing.
    pub(crate) fn mark(&mut self, receipt: u64, state: State) {
        let Some(id) = self.of_receipt.get(&receipt).copied() else { return };
        let Some(flight) = self.flights.get_mut(&id) else { return };
        let pending = |item: &&mut Item| item.receipt == receipt && item.state == State::Pending;
        if let Some(item) = flight.items.iter_mut().find(pending) {
            item.state = state;
            if flight.full && state == State::Done {
                self.giving_way.others_go_on(Instant::now());
            }
            self.advance(id);
        }
    }

    /// Lets flights that have given way for long enough go on; with `all`, every one. Says when to look again.
    pub(crate) fn end_giving_way(&mut self, all: bool) -> Option<Instant> {
        let now = Instant::now();
        for id in self.giving_way.take_due(now, all) {
            if let Some(flight) = self.flights.get_mut(&id) {
                self.giving_way.goes(now);
                flight.gives_way = GivesWay::Over;
                self.advance(id);
            }
        }
        self.giving_way.until()
    }

    fn advance(&mut self, id: u64) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        match flight.next() {
            Next::Wait => {}
            Next::Delete => {
                flight.busy = true;
                self.ready.entry(flight.queue).or_default().push_back((id, Instant::now()));
            }
            Next::GiveWay => {
                flight.gives_way = GivesWay::Now;
                self.giving_way.begin(id, Instant::now());
            }
            Next::Over(handles) => {
                self.deleting -= usize::from(flight.counted);
                if flight.gives_way == GivesWay::Over {
                    self.giving_way.has_gone(Instant::now());
                }
                flight.lease.end();
                let queue = flight.queue;
                for item in &flight.items {
                    self.of_receipt.remove(&item.receipt);
                }
                self.flights.remove(&id);
                if !handles.is_empty() {
                    self.releases.push_back(Release { queue, handles });
                }
                return;
            }
        }
        let counts = flight.queue == MAIN && flight.is_deleting();
        self.deleting = self.deleting - usize::from(flight.counted) + usize::from(counts);
        flight.counted = counts;
    }

    /// Groups' receives of the main queue that nothing keeps but deletes.
    pub(crate) fn deleting(&self) -> usize {
        self.deleting
    }

    /// Whether something is to be told to SQS, now or once it has given way.
    pub(crate) fn has_to_tell(&self) -> bool {
        let ready = self.ready.values().any(|ready| !ready.is_empty());
        ready || !self.releases.is_empty() || self.giving_way.until().is_some()
    }

    /// How many messages of a queue could be deleted now, and since when the first of them waits.
    pub(crate) fn ready(&self, queue: usize) -> (usize, Option<Instant>) {
        let ready = self.ready.get(&queue);
        (ready.map_or(0, VecDeque::len), ready.and_then(|ready| ready.front()).map(|(_, since)| *since))
    }

    /// Messages to be deleted by one request: of each group one, because the next may go only once this one is gone.
    pub(crate) fn take_deletes(&mut self, queue: usize, max: usize) -> Vec<Delete> {
        let ready = self.ready.entry(queue).or_default();
        let taken = ready.drain(..max.min(ready.len())).collect::<Vec<_>>();
        let first = |(id, _)| {
            let item = self.flights.get(&id)?.items.front()?;
            Some(Delete { flight: id, handle: item.handle.clone(), index: item.index })
        };
        taken.into_iter().filter_map(first).collect()
    }

    /// SQS has deleted the first message of the flight.
    pub(crate) fn deleted(&mut self, id: u64) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.busy = false;
        if let Some(item) = flight.items.pop_front() {
            self.of_receipt.remove(&item.receipt);
        }
        self.advance(id);
    }

    /// SQS has not deleted it: the rest of the group's receive is abandoned. With `lost` receipts there is nothing to
    /// give back.
    pub(crate) fn refused(&mut self, id: u64, lost: bool) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.busy = false;
        flight.lost |= lost;
        flight.stop();
        self.advance(id);
    }

    /// The next group to be given back.
    pub(crate) fn take_release(&mut self) -> Option<Release> {
        let release = self.releases.pop_front();
        self.releasing += usize::from(release.is_some());
        release
    }

    /// A release has been told to SQS, or cannot be.
    pub(crate) fn released(&mut self) {
        self.releasing = self.releasing.saturating_sub(1);
    }

    /// What is to be kept invisible: messages of flights that the engine has, and that were not extended for so long.
    pub(crate) fn to_extend(&self, unless_within: Duration, visibility: &[Duration]) -> Vec<Extend> {
        let due = |flight: &&u64| {
            let flight = self.flights.get(flight);
            flight.is_some_and(|flight| flight.is_kept() && flight.extended.elapsed() >= unless_within)
        };
        let mut ids: Vec<&u64> = self.flights.keys().filter(due).collect();
        ids.sort_unstable();
        ids.into_iter().flat_map(|id| self.extends_of(*id, visibility)).collect()
    }

    /// What keeps one flight invisible; nothing, once SQS would not let it.
    pub(crate) fn extends_of(&self, id: u64, visibility: &[Duration]) -> Vec<Extend> {
        let Some(flight) = self.flights.get(&id) else { return Vec::new() };
        let queue = flight.queue;
        let lasts = visibility.get(queue).and_then(|visibility| flight.may_last(*visibility));
        let Some(lasts) = lasts else { return Vec::new() };
        let extend = |item: &Item| Extend {
            queue,
            flight: id,
            receipt: item.receipt,
            handle: item.handle.clone(),
            index: item.index,
            lasts,
        };
        flight.items.iter().map(extend).collect()
    }

    /// Every message of the flight was kept invisible by requests of which the first was sent then.
    pub(crate) fn extended(&mut self, id: u64, sent: Instant, lasts: Duration) {
        let Some(flight) = self.flights.get_mut(&id).filter(|flight| !flight.stopped) else { return };
        flight.extended = sent;
        flight.lease.extend(lasts.saturating_sub(sent.elapsed()));
    }

    /// The receipt was not valid when it should have been extended: says whether the flight is lost by that. One that
    /// was, or may have been, deleted meanwhile is none.
    pub(crate) fn receipt_lost(&mut self, id: u64, receipt: u64) -> bool {
        let Some(flight) = self.flights.get_mut(&id) else { return false };
        let place = flight.items.iter().position(|item| item.receipt == receipt);
        if place.is_none() || flight.busy && place == Some(0) {
            return false;
        }
        flight.lost = true;
        flight.stop();
        self.advance(id);
        true
    }

    /// Everything that is not done with is given back.
    pub(crate) fn abandon_all(&mut self) {
        let ids: Vec<u64> = self.flights.keys().copied().collect();
        for id in ids {
            let Some(flight) = self.flights.get_mut(&id) else { continue };
            for item in flight.items.iter_mut().filter(|item| item.state == State::Pending) {
                item.state = State::Abandoned;
            }
            self.advance(id);
        }
    }

    /// How many messages are received and not deleted.
    pub(crate) fn messages(&self) -> usize {
        self.of_receipt.len()
    }

    /// Whether nothing is left to be told to SQS, or to be heard from the engine.
    pub(crate) fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.releases.is_empty() && self.releasing == 0
    }
}

#[cfg(test)]
mod tests;
