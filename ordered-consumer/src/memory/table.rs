//! One consumer's gates, rows and streams, with the orders in which they are looked for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
};

use bytes::Bytes;

use super::audit::AuditTrail;
use crate::{
    Digest, Event, GateKey, Index, StreamName, Timestamp, Totals,
    event::Context,
    gate::{Gate, LayoutRecord, ParkCause, StreamRecord, may_drop_tombstone},
};

/// One event in the log.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) event: Event,
    /// What its gate counts for it: an edit changes the event, and not this, so that the sums stay right.
    pub(super) bytes: u64,
    /// The original's, whatever an operator made of the payload since.
    pub(super) digest: Digest,
    /// Whether an operator has.
    pub(super) edited: bool,
}

impl Row {
    pub(super) fn new(event: &Event) -> Self {
        // How the event came is of no use when it comes back, so the log has nothing of it.
        let event = event.clone().with_context(Context::FIRST);
        Self { bytes: event.size() as u64, digest: event.digest(), edited: false, event }
    }
}

/// A gate and what is kept under it.
#[derive(Clone, Default)]
pub(super) struct Entity {
    pub(super) gate: Gate,
    pub(super) rows: BTreeMap<Index, Row>,
    pub(super) conflicts: Vec<Event>,
}

/// Everything that one consumer has in the log.
///
/// Every gate is in the sets that its state belongs to, so that nothing is ever looked for by going through all gates.
#[derive(Default)]
pub(super) struct Table {
    records: BTreeMap<StreamName, StreamRecord>,
    pub(super) layouts: BTreeMap<StreamName, LayoutRecord>,
    /// Hashed, because what arrives is looked for one by one, among however many.
    entities: HashMap<GateKey, Box<Entity>>,
    /// The same gates in the order of stream and entity.
    pub(super) order: BTreeSet<GateKey>,
    due: BTreeSet<(Timestamp, GateKey)>,
    /// Gates that are not cleared.
    pub(super) uncleared: BTreeSet<GateKey>,
    /// Gates that an operator parked or paused.
    paused: BTreeSet<GateKey>,
    /// Tombstones that may be dropped some day, by what they know to be resolved.
    resolved: BTreeSet<(StreamName, Option<Index>, Bytes)>,
    /// The same tombstones by age.
    cleared: BTreeSet<(StreamName, Timestamp, Bytes)>,
    totals: Totals,
    pub(super) audit: AuditTrail,
    /// Since when gates that hold events have not flowed freely, each time with how many.
    held_since: BTreeMap<Timestamp, u64>,
}

/// In which of the table's sets a gate belongs, and where.
#[derive(PartialEq, Eq)]
struct Listing {
    due_at: Option<Timestamp>,
    paused: bool,
    uncleared: bool,
    tombstone: Option<(Option<Index>, Timestamp)>,
}

impl Listing {
    fn of(gate: &Gate) -> Self {
        let may_go = gate.is_cleared() && gate.conflicts == 0;
        Self {
            due_at: gate.due_at,
            paused: gate.parked == Some(ParkCause::Operator),
            uncleared: !gate.is_cleared(),
            tombstone: may_go.then_some((gate.resolved, gate.since)),
        }
    }
}

impl Table {
    pub(super) fn record(&self, stream: &StreamName) -> Option<&StreamRecord> {
        self.records.get(stream)
    }

    pub(super) fn put_record(&mut self, stream: &StreamName, record: StreamRecord) {
        self.records.insert(stream.clone(), record);
    }

    pub(super) fn take_record(&mut self, stream: &StreamName) -> Option<StreamRecord> {
        self.records.remove(stream)
    }

    pub(super) fn entity(&self, key: &GateKey) -> Option<&Entity> {
        self.entities.get(key).map(Box::as_ref)
    }

    pub(super) fn gate(&self, key: &GateKey) -> Option<&Gate> {
        self.entities.get(key).map(|entity| &entity.gate)
    }

    pub(super) fn totals(&self, now: Timestamp) -> Totals {
        let oldest_held = self.held_since.keys().next().map(|since| now.since(*since));
        Totals { oldest_held, ..self.totals }
    }

    /// Writes the gate, or removes it with all that is kept under it; and gives what is kept under it.
    pub(super) fn put_gate(&mut self, key: &GateKey, gate: Option<Gate>) -> Option<&mut Entity> {
        let Some(gate) = gate else {
            self.take_entity(key);
            return None;
        };
        let old = self.entities.get(key).map(|entity| &entity.gate);
        if let Some(old) = old
            && Listing::of(old) == Listing::of(&gate)
        {
            // Most writes are holds: they change what is counted, and nothing by which a gate is looked for.
            uncount(&mut self.totals, &mut self.held_since, old);
            count_in(&mut self.totals, &mut self.held_since, &gate);
        } else {
            match old.cloned() {
                Some(old) => self.unlist(key, &old),
                None => drop(self.order.insert(key.clone())),
            }
            self.enlist(key, &gate);
        }
        let entity = self.entities.entry(key.clone()).or_default();
        entity.gate = gate;
        Some(entity)
    }

    /// Takes a gate out, with all that is kept under it.
    pub(super) fn take_entity(&mut self, key: &GateKey) -> Option<Box<Entity>> {
        let entity = self.entities.remove(key)?;
        self.order.remove(key);
        self.unlist(key, &entity.gate);
        Some(entity)
    }

    pub(super) fn put_entity(&mut self, key: GateKey, entity: Box<Entity>) {
        self.enlist(&key, &entity.gate);
        self.order.insert(key.clone());
        self.entities.insert(key, entity);
    }

    fn enlist(&mut self, key: &GateKey, gate: &Gate) {
        let listing = Listing::of(gate);
        if let Some(due_at) = listing.due_at {
            self.due.insert((due_at, key.clone()));
        }
        if listing.paused {
            self.paused.insert(key.clone());
        }
        if listing.uncleared {
            self.uncleared.insert(key.clone());
        }
        if let Some((resolved, since)) = listing.tombstone {
            self.resolved.insert((key.stream.clone(), resolved, key.entity.clone()));
            self.cleared.insert((key.stream.clone(), since, key.entity.clone()));
        }
        count_in(&mut self.totals, &mut self.held_since, gate);
    }

    fn unlist(&mut self, key: &GateKey, gate: &Gate) {
        let listing = Listing::of(gate);
        if let Some(due_at) = listing.due_at {
            self.due.remove(&(due_at, key.clone()));
        }
        if listing.paused {
            self.paused.remove(key);
        }
        if listing.uncleared {
            self.uncleared.remove(key);
        }
        if let Some((resolved, since)) = listing.tombstone {
            self.resolved.remove(&(key.stream.clone(), resolved, key.entity.clone()));
            self.cleared.remove(&(key.stream.clone(), since, key.entity.clone()));
        }
        uncount(&mut self.totals, &mut self.held_since, gate);
    }

    /// Up to `limit` gates that are due, the longest due first.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<GateKey> {
        let due = self.due.iter().take_while(|(due_at, _)| *due_at <= now);
        due.take(limit).map(|(_, key)| key.clone()).collect()
    }

    pub(super) fn next_due_at(&self) -> Option<Timestamp> {
        self.due.first().map(|(due_at, _)| *due_at)
    }

    pub(super) fn held_events(
        &self,
        key: &GateKey,
        (from, through): (Index, Index),
        limit: u32,
        bytes_max: u64,
    ) -> Vec<Event> {
        let (Some(entity), true) = (self.entities.get(key), from <= through) else { return Vec::new() };
        let rows = entity.rows.range(from..=through).take(count(limit));
        first_bytes(rows.map(|(_, row)| &row.event), bytes_max)
    }

    /// Every gate of the stream, tombstones too.
    pub(super) fn keys_of(&self, stream: &StreamName) -> Vec<GateKey> {
        let first = GateKey { stream: stream.clone(), entity: Bytes::new() };
        let keys = self.order.range(first..);
        keys.take_while(|key| key.stream == *stream).cloned().collect()
    }

    pub(super) fn entities(
        &self,
        stream: &StreamName,
        after: Option<&Bytes>,
        limit: u32,
        paused_only: bool,
    ) -> Vec<Bytes> {
        let from = match after {
            Some(after) => Bound::Excluded(GateKey { stream: stream.clone(), entity: after.clone() }),
            None => Bound::Included(GateKey { stream: stream.clone(), entity: Bytes::new() }),
        };
        let page = |keys: &mut dyn Iterator<Item = &GateKey>| {
            let keys = keys.take_while(|key| key.stream == *stream).take(count(limit));
            keys.map(|key| key.entity.clone()).collect()
        };
        if paused_only {
            page(&mut self.paused.range((from, Bound::Unbounded)))
        } else {
            page(&mut self.order.range((from, Bound::Unbounded)))
        }
    }

    pub(super) fn drop_tombstones(
        &mut self,
        stream: &StreamName,
        kept_since: Option<Timestamp>,
        limit: u32,
    ) -> u64 {
        let settled = self.record(stream).and_then(|record| record.settled);
        let lowest = (stream.clone(), None, Bytes::new());
        let passed = self.resolved.range(lowest..).take_while(|(of, resolved, _)| {
            of == stream && (resolved.is_none() || settled.is_some_and(|s| *resolved <= Some(s)))
        });
        let oldest = (stream.clone(), Timestamp::from_micros(i64::MIN), Bytes::new());
        let old = self
            .cleared
            .range(oldest..)
            .take_while(|(of, since, _)| of == stream && kept_since.is_some_and(|kept| *since < kept));
        let entities: BTreeSet<Bytes> = passed
            .map(|(_, _, entity)| entity)
            .take(count(limit))
            .chain(old.map(|(_, _, entity)| entity).take(count(limit)))
            .cloned()
            .collect();
        let mut dropped = 0;
        for entity in entities.into_iter().take(count(limit)) {
            let key = GateKey { stream: stream.clone(), entity };
            if self.gate(&key).is_some_and(|gate| may_drop_tombstone(gate, settled, kept_since)) {
                self.put_gate(&key, None);
                dropped += 1;
            }
        }
        dropped
    }
}

/// The first events, as many as have no more than so many bytes beyond the first.
pub(super) fn first_bytes<'e>(events: impl Iterator<Item = &'e Event>, bytes_max: u64) -> Vec<Event> {
    let mut found: Vec<Event> = Vec::new();
    let mut bytes_beyond = 0_u64;
    for event in events {
        if !found.is_empty() {
            bytes_beyond = bytes_beyond.saturating_add(event.size() as u64);
            if bytes_beyond > bytes_max {
                break;
            }
        }
        found.push(event.clone());
    }
    found
}

fn count_in(totals: &mut Totals, held_since: &mut BTreeMap<Timestamp, u64>, gate: &Gate) {
    if gate.head.is_some() {
        *held_since.entry(gate.since).or_default() += 1;
    }
    totals.gated_entities += u64::from(!gate.is_cleared());
    totals.parked_entities += u64::from(gate.parked.is_some());
    totals.held_events += gate.held_events;
    totals.held_bytes += gate.held_bytes;
}

fn uncount(totals: &mut Totals, held_since: &mut BTreeMap<Timestamp, u64>, gate: &Gate) {
    if gate.head.is_some()
        && let Some(gates) = held_since.get_mut(&gate.since)
    {
        *gates -= 1;
        if *gates == 0 {
            held_since.remove(&gate.since);
        }
    }
    totals.gated_entities -= u64::from(!gate.is_cleared());
    totals.parked_entities -= u64::from(gate.parked.is_some());
    totals.held_events -= gate.held_events;
    totals.held_bytes -= gate.held_bytes;
}

pub(super) fn count(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
