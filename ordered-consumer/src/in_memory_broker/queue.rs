//! A shared FIFO queue with message groups: one group for each entity.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    BrokerError, MemberId, NewEvent, QueueOptions,
    group::later,
    queue_consumer::QueueConsumer,
    queue_flight::{Flight, Item, State},
    retry::RetryStream,
};
use crate::{Assignment, Delivery, Event, Index, Lease, NameError, Settlement, StreamName};

/// A queue: what is published, what is received and not yet deleted, and who receives.
pub(super) struct Queue {
    pub(super) options: QueueOptions,
    pub(super) stream: StreamName,
    pub(super) identity: Bytes,
    pub(super) closed: bool,
    pub(super) consumers: BTreeMap<MemberId, QueueConsumer>,
    pub(super) retry: RetryStream,
    /// How many deletes are refused on purpose, from the next one on.
    pub(super) refuses_deletes: u32,
    next: Option<u128>,
    kept: usize,
    entities: HashMap<Bytes, VecDeque<Stored>>,
    /// Entities with events of which none is in flight, by their first event.
    ready: BTreeSet<(u128, Bytes)>,
    flights: BTreeMap<u64, Flight>,
    expiries: BTreeSet<(Instant, u64)>,
    flight_of: HashMap<u64, u64>,
    ids: u64,
}

struct Stored {
    event: Event,
    receives: u32,
}

impl Queue {
    pub(super) fn new(name: &str, options: QueueOptions, identity: u64) -> Result<Self, NameError> {
        Ok(Self {
            stream: StreamName::new(name)?,
            identity: Bytes::from(format!("queue-{identity}")),
            closed: false,
            consumers: BTreeMap::new(),
            retry: RetryStream::default(),
            refuses_deletes: 0,
            next: Some(options.first_index),
            kept: 0,
            entities: HashMap::new(),
            ready: BTreeSet::new(),
            flights: BTreeMap::new(),
            expiries: BTreeSet::new(),
            flight_of: HashMap::new(),
            ids: 0,
            options,
        })
    }

    /// Another queue takes its place: without events and copies, and with the same consumers. What these have of the old one
    /// is over, and its receipts count for nothing in the new one.
    pub(super) fn recreate(&mut self, identity: u64) -> Result<(), NameError> {
        let mut new = Self::new(self.stream.as_str(), self.options.clone(), identity)?;
        (new.consumers, new.ids) = (std::mem::take(&mut self.consumers), self.ids);
        self.flights.values().for_each(|flight| flight.lease.end());
        *self = new;
        Ok(())
    }

    pub(super) fn append(&mut self, event: NewEvent) -> Result<(StreamName, Index), BrokerError> {
        let (stream, limit) = (self.stream.clone(), self.options.retained_max);
        if self.kept >= limit {
            return Err(BrokerError::Full { stream, limit });
        }
        let Some(index) = self.next else {
            return Err(BrokerError::IndexesUsedUp { stream });
        };
        self.next = index.checked_add(1);
        self.kept += 1;
        let event = event.at(stream.clone(), index);
        let entity = event.entity().clone();
        let events = self.entities.entry(entity.clone()).or_default();
        if events.is_empty() {
            self.ready.insert((index, entity));
        }
        events.push_back(Stored { event, receives: 0 });
        Ok((stream, Index::new(index)))
    }

    /// One receive: up to so many events, of an entity only if none of it is in flight.
    pub(super) fn receive(&mut self, member: MemberId, now: Instant) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < self.options.receive_max {
            let Some((_, entity)) = self.ready.pop_first() else { break };
            self.receive_entity(member, entity, now, &mut deliveries);
        }
        deliveries.sort_by_key(|delivery| delivery.event.index());
        deliveries
    }

    fn receive_entity(&mut self, member: MemberId, entity: Bytes, now: Instant, into: &mut Vec<Delivery>) {
        let Some(events) = self.entities.get_mut(&entity) else { return };
        let room = self.options.receive_max - into.len();
        let visible_at = later(now, self.options.visibility_timeout);
        let lasts = self.options.visibility_timeout.saturating_sub(self.options.lease_margin);
        let lease = Lease::new(lasts);
        self.ids += 1;
        let flight = self.ids;
        let mut items = VecDeque::new();
        for stored in events.iter_mut().take(room) {
            self.ids += 1;
            let (receipt, mut context) = (self.ids, stored.event.context());
            context.redelivered = stored.receives > 0;
            stored.receives = stored.receives.saturating_add(1);
            let event = stored.event.clone().with_context(context);
            items.push_back(Item { receipt, state: State::Pending });
            self.flight_of.insert(receipt, flight);
            into.push(Delivery { event, receipt, lease: Some(lease.clone()) });
        }
        self.expiries.insert((visible_at, flight));
        self.flights.insert(flight, Flight { member, entity, lease, visible_at, items });
    }

    /// Deletes what is done, in order; once a delete is refused, the rest of its entity's receive is given back.
    pub(super) fn settle(&mut self, member: MemberId, settlement: &Settlement) {
        if !self.owns(member, &settlement.assignment) {
            return;
        }
        for (_, receipt) in &settlement.events {
            self.mark(member, *receipt, State::Done);
        }
    }

    /// Has what was not done with come again, once nothing of its receive is under way.
    pub(super) fn abandon(&mut self, member: MemberId, receipts: &[u64]) {
        for receipt in receipts {
            self.mark(member, *receipt, State::Abandoned);
        }
    }

    fn mark(&mut self, member: MemberId, receipt: u64, state: State) {
        // A receipt whose visibility ran out is no receipt any more.
        let Some(id) = self.flight_of.get(&receipt).copied() else { return };
        let Some(flight) = self.flights.get_mut(&id).filter(|flight| flight.member == member) else { return };
        flight.mark(receipt, state);
        while let Some(receipt) = flight.next_delete() {
            if self.refuses_deletes > 0 {
                self.refuses_deletes -= 1;
                self.end_flight(id);
                return;
            }
            flight.items.pop_front();
            self.flight_of.remove(&receipt);
            if let Some(events) = self.entities.get_mut(&flight.entity) {
                events.pop_front();
                self.kept -= 1;
            }
        }
        if flight.is_over() {
            self.end_flight(id);
        }
    }

    /// Nothing of the receive is under way any more: what is left of it is visible again.
    fn end_flight(&mut self, id: u64) {
        let Some(flight) = self.flights.remove(&id) else { return };
        flight.lease.end();
        self.expiries.remove(&(flight.visible_at, id));
        for item in &flight.items {
            self.flight_of.remove(&item.receipt);
        }
        match self.entities.get(&flight.entity).and_then(VecDeque::front) {
            Some(first) => {
                self.ready.insert((first.event.index().get(), flight.entity));
            }
            None => {
                self.entities.remove(&flight.entity);
            }
        }
    }

    /// Whether the assignment is this consumer's.
    pub(super) fn owns(&self, member: MemberId, assignment: &Assignment) -> bool {
        let epoch = self.consumers.get(&member).map(|consumer| consumer.epoch);
        assignment.stream == self.stream && epoch == Some(assignment.epoch)
    }

    /// A consumer is gone. What it had stays in flight until its visibility runs out, unless it has closed.
    pub(super) fn leave(&mut self, member: MemberId, closed: bool) -> bool {
        let was_there = self.consumers.remove(&member).is_some();
        if closed {
            let of_member = self.flights.iter().filter(|(_, flight)| flight.member == member);
            let ids: Vec<u64> = of_member.map(|(id, _)| *id).collect();
            for id in ids {
                self.end_flight(id);
            }
            self.retry.give_back(member);
        }
        was_there
    }

    /// Lets visibilities run out.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let mut changed = self.retry.expire(now);
        while let Some((_, id)) = self.expiries.first().copied().filter(|(at, _)| *at <= now) {
            self.end_flight(id);
            changed = true;
        }
        changed
    }

    /// Extends what a consumer has received, if its time has come: only when it asks itself, as a process that
    /// stands still extends nothing.
    pub(super) fn beat(&mut self, member: MemberId, now: Instant) {
        let Some(every) = self.options.heartbeat else { return };
        let Some(consumer) = self.consumers.get_mut(&member).filter(|consumer| consumer.beats_at <= now)
        else {
            return;
        };
        consumer.beats_at = later(now, every);
        let lasts = self.options.visibility_timeout.saturating_sub(self.options.lease_margin);
        let visible_at = later(now, self.options.visibility_timeout);
        for (id, flight) in &mut self.flights {
            if flight.member == member {
                self.expiries.remove(&(flight.visible_at, *id));
                flight.visible_at = visible_at;
                flight.lease.extend(lasts);
                self.expiries.insert((visible_at, *id));
            }
        }
        self.retry.extend(member, visible_at);
    }

    /// When something happens by itself next, as this consumer sees it.
    pub(super) fn next_alarm(&self, member: MemberId) -> Option<Instant> {
        let beats = self.consumers.get(&member).filter(|_| self.options.heartbeat.is_some());
        let expiry = self.expiries.first().map(|(at, _)| *at);
        [beats.map(|consumer| consumer.beats_at), expiry, self.retry.next_alarm()].into_iter().flatten().min()
    }

    /// How many events are not deleted.
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// How many of these are received and not visible.
    pub(super) fn in_flight(&self) -> usize {
        self.flight_of.len()
    }

    /// How many events were ever published.
    pub(super) fn published(&self) -> u128 {
        let first = self.options.first_index;
        self.next.map_or((u128::MAX - first).saturating_add(1), |next| next - first)
    }

    /// How often an event that is not deleted was received.
    pub(super) fn receives(&self, index: Index) -> Option<u32> {
        let mut stored = self.entities.values().flatten();
        stored.find(|stored| stored.event.index() == index).map(|stored| stored.receives)
    }
}
