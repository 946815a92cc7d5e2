//! What would have been held: gates that nobody keeps.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use super::report::{ObserveReport, ObservedStream};
use crate::{
    Clock, ConsumerName, Event, FailureKind, HandlerError, Index, RetryPolicy, StreamName, TelemetryOptions,
    Timestamp,
    engine::fingerprint::{BuildIdentity, Fingerprint, FingerprintKey},
    gate::Next,
    telemetry::{ObservedMeters, Telemetry},
};

/// Streams that are told apart.
const STREAMS_MAX: usize = 4_096;
/// Attempts that are reckoned one by one; a policy that makes more in the time between two events is not worth it.
const STEPS_MAX: u32 = 10_000;

/// How a run ended.
#[derive(Clone, Copy)]
pub(super) enum Ran {
    Succeeded,
    Failed(FailureKind),
}

/// One stream.
struct Stream {
    /// Counted without the ledger's lock.
    runs: AtomicU64,
    meters: ObservedMeters,
    seen: Mutex<ObservedStream>,
}

/// An entity that has failed.
struct Entity {
    tick: u64,
    stream: Arc<Stream>,
    gate: Option<Gate>,
}

/// A gate as it would be.
struct Gate {
    head: Index,
    opened: Timestamp,
    attempts: u32,
    /// When the head would be tried next; none when it would be parked.
    due: Option<Timestamp>,
    /// When it would be gone, as far as is known.
    gone: Option<Timestamp>,
    held: u64,
    first_held: Timestamp,
    /// The microseconds at which events came that would be held, added up.
    held_sum: i128,
}

#[derive(Default)]
struct Entities {
    by_key: HashMap<Fingerprint, Entity, BuildIdentity>,
    /// By when they were last heard of.
    by_age: BTreeMap<u64, Fingerprint>,
    tick: u64,
    forgotten: u64,
}

/// See the module.
pub(super) struct Ledger {
    policy: RetryPolicy,
    clock: Clock,
    key: FingerprintKey,
    entities_max: usize,
    telemetry: Telemetry,
    streams: RwLock<HashMap<StreamName, Arc<Stream>>>,
    others: Arc<Stream>,
    entities: Mutex<Entities>,
    /// How many entities have failed and are remembered: while there are none, events pass without the lock.
    remembered: AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    pub(super) fn new(
        name: &ConsumerName,
        policy: RetryPolicy,
        clock: Clock,
        entities_max: usize,
        (random, telemetry): (u128, TelemetryOptions),
    ) -> Self {
        let telemetry = Telemetry::new(name, telemetry);
        let others = Arc::new(Stream::new(telemetry.observed(None)));
        Self {
            // The events that are asked about are not those that would be tried again.
            policy: policy.jitter(0.0),
            clock,
            key: FingerprintKey::new(random),
            entities_max,
            telemetry,
            streams: RwLock::default(),
            others,
            entities: Mutex::default(),
            remembered: AtomicUsize::new(0),
        }
    }

    pub(super) fn kind_of(&self, error: &HandlerError) -> FailureKind {
        self.policy.kind_of(error)
    }

    fn stream(&self, name: &StreamName) -> Arc<Stream> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(stream) = streams.get(name) {
            return Arc::clone(stream);
        }
        drop(streams);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.len() >= STREAMS_MAX && !streams.contains_key(name) {
            return Arc::clone(&self.others);
        }
        let made = || Arc::new(Stream::new(self.telemetry.observed(Some(name))));
        Arc::clone(streams.entry(name.clone()).or_insert_with(made))
    }

    fn fingerprint(&self, event: &Event) -> Fingerprint {
        self.key.stream(event.stream().as_str()).entity(&self.key, event.entity())
    }

    /// A run of the event is about to begin.
    pub(super) fn begins(&self, event: &Event) {
        let stream = self.stream(event.stream());
        stream.runs.fetch_add(1, Ordering::Relaxed);
        stream.meters.runs.add(1);
        if self.remembered.load(Ordering::Acquire) == 0 {
            return;
        }
        let key = self.fingerprint(event);
        let mut entities = locked(&self.entities);
        let now = self.clock.now();
        let Some(entity) = entities.by_key.get_mut(&key) else { return };
        entity.close_if_gone(now);
        if let Some(gate) = entity.gate.as_mut().filter(|gate| event.index() > gate.head) {
            gate.hold(now);
            locked(&stream.seen).would_hold += 1;
            stream.meters.held.add(1);
        }
        entities.touch(key);
    }

    /// A run of the event has ended.
    pub(super) fn ended(&self, event: &Event, ran: Ran) {
        match ran {
            Ran::Succeeded if self.remembered.load(Ordering::Acquire) == 0 => {}
            Ran::Succeeded | Ran::Failed(FailureKind::Ignore) => {
                let key = self.fingerprint(event);
                let mut entities = locked(&self.entities);
                let now = self.clock.now();
                let Some(entity) = entities.by_key.get_mut(&key) else { return };
                entity.close_if_gone(now);
                entity.succeeded(event, now, &self.policy);
            }
            Ran::Failed(FailureKind::Unavailable) => {
                let stream = self.stream(event.stream());
                stream.meters.failed.add(1);
                let mut seen = locked(&stream.seen);
                (seen.failed, seen.unavailable) = (seen.failed + 1, seen.unavailable + 1);
            }
            Ran::Failed(
                kind @ (FailureKind::Retry | FailureKind::RetryAfter(_) | FailureKind::Permanent),
            ) => {
                self.failed(event, kind);
            }
        }
    }

    fn failed(&self, event: &Event, kind: FailureKind) {
        let (stream, key) = (self.stream(event.stream()), self.fingerprint(event));
        locked(&stream.seen).failed += 1;
        stream.meters.failed.add(1);
        let mut entities = locked(&self.entities);
        let now = self.clock.now();
        if !entities.by_key.contains_key(&key) {
            entities.make_room(self.entities_max, now);
            locked(&stream.seen).entities_failed += 1;
            entities.by_key.insert(key, Entity { tick: 0, stream: Arc::clone(&stream), gate: None });
        }
        if let Some(entity) = entities.by_key.get_mut(&key) {
            entity.close_if_gone(now);
            entity.failed(event, kind, now, &self.policy);
        }
        entities.touch(key);
        self.remembered.store(entities.by_key.len(), Ordering::Release);
    }

    pub(super) fn report(&self) -> ObserveReport {
        let entities = locked(&self.entities);
        let now = self.clock.now();
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let all = streams.iter().map(|(name, stream)| (Some(name), stream)).chain([(None, &self.others)]);
        let mut seen: HashMap<*const Stream, (Option<&StreamName>, ObservedStream)> = all
            .map(|(name, stream)| {
                let runs = stream.runs.load(Ordering::Relaxed);
                (Arc::as_ptr(stream), (name, ObservedStream { runs, ..*locked(&stream.seen) }))
            })
            .collect();
        for entity in entities.by_key.values() {
            if let (Some(gate), Some((_, seen))) = (&entity.gate, seen.get_mut(&Arc::as_ptr(&entity.stream)))
            {
                gate.add_to(seen, now);
            }
        }
        let mut report = ObserveReport { forgotten: entities.forgotten, ..ObserveReport::default() };
        for (name, seen) in seen.into_values() {
            match name {
                Some(name) => drop(report.streams.insert(name.clone(), seen)),
                None => report.others = seen,
            }
        }
        report
    }
}

impl Stream {
    fn new(meters: ObservedMeters) -> Self {
        Self { runs: AtomicU64::new(0), meters, seen: Mutex::default() }
    }
}

impl Entities {
    /// The entity has just been heard of.
    fn touch(&mut self, key: Fingerprint) {
        let Some(entity) = self.by_key.get_mut(&key) else { return };
        self.tick += 1;
        self.by_age.remove(&std::mem::replace(&mut entity.tick, self.tick));
        self.by_age.insert(self.tick, key);
    }

    fn make_room(&mut self, max: usize, now: Timestamp) {
        while self.by_key.len() >= max
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            if let Some(mut entity) = self.by_key.remove(&oldest) {
                entity.close(now);
                self.forgotten += 1;
            }
        }
    }
}

impl Entity {
    fn close_if_gone(&mut self, now: Timestamp) {
        if self.gate.as_ref().is_some_and(|gate| gate.gone.is_some_and(|gone| gone <= now)) {
            self.close(now);
        }
    }

    fn close(&mut self, now: Timestamp) {
        let Some(gate) = self.gate.take() else { return };
        let until = gate.gone.map_or(now, |gone| gone.min(now));
        let mut seen = locked(&self.stream.seen);
        gate.add_times(&mut seen, until);
        self.stream.meters.gate_time.record(until.since(gate.opened));
    }

    fn succeeded(&mut self, event: &Event, now: Timestamp, policy: &RetryPolicy) {
        let Some(gate) = &mut self.gate else { return };
        let parked_before = gate.due.is_none();
        if event.index() < gate.head {
            return;
        }
        gate.pass_time(event, now, policy);
        if !parked_before && gate.due.is_none() {
            self.stream.count_parked();
        }
        let itself = event.index() == gate.head;
        match gate.due {
            // Whoever observed nothing else tries it again by itself, and would not need an operator.
            None if itself => gate.gone = Some(now),
            None => {}
            Some(due) => gate.gone = Some(gate.gone.map_or(due, |gone| gone.min(due))),
        }
    }

    fn failed(&mut self, event: &Event, kind: FailureKind, now: Timestamp, policy: &RetryPolicy) {
        if let Some(gate) = &mut self.gate {
            if event.index() == gate.head {
                // What others' successes let hope for is not so.
                gate.gone = None;
            }
            return;
        }
        let attempts = if kind == FailureKind::Retry { policy.immediate_attempts() } else { 1 };
        let due = match policy.next(event, attempts, Duration::ZERO, kind) {
            Next::Retry(after) => Some(now.plus(after)),
            Next::Park(_) => None,
        };
        let mut seen = locked(&self.stream.seen);
        seen.gated += 1;
        drop(seen);
        self.stream.meters.gated.add(1);
        if due.is_none() {
            self.stream.count_parked();
        }
        let head = event.index();
        self.gate = Some(Gate {
            head,
            opened: now,
            attempts,
            due,
            gone: None,
            held: 0,
            first_held: now,
            held_sum: 0,
        });
    }
}

impl Stream {
    fn count_parked(&self) {
        locked(&self.seen).would_park += 1;
        self.meters.parked.add(1);
    }
}

impl Gate {
    fn hold(&mut self, now: Timestamp) {
        if self.held == 0 {
            self.first_held = now;
        }
        self.held += 1;
        self.held_sum += i128::from(now.as_micros());
    }

    /// Lets the attempts pass that would have been made and failed by now.
    fn pass_time(&mut self, event: &Event, now: Timestamp, policy: &RetryPolicy) {
        for _ in 0..STEPS_MAX {
            let Some(due) = self.due.filter(|due| *due < now) else { return };
            self.attempts = self.attempts.saturating_add(1);
            self.due = match policy.next(event, self.attempts, due.since(self.opened), FailureKind::Retry) {
                Next::Retry(after) => Some(due.plus(after.max(Duration::from_micros(1)))),
                Next::Park(_) => None,
            };
        }
        self.due = self.due.map(|due| due.max(now));
    }

    /// What it would have cost until then.
    fn add_times(&self, seen: &mut ObservedStream, until: Timestamp) {
        seen.longest_gate = seen.longest_gate.max(until.since(self.opened));
        if self.held == 0 {
            return;
        }
        seen.longest_hold = seen.longest_hold.max(until.since(self.first_held));
        let held = i128::from(self.held) * i128::from(until.as_micros()) - self.held_sum;
        let held = Duration::from_micros(u64::try_from(held.max(0)).unwrap_or(u64::MAX));
        seen.total_hold = seen.total_hold.saturating_add(held);
    }

    /// What it costs now.
    fn add_to(&self, seen: &mut ObservedStream, now: Timestamp) {
        let gone = self.gone.filter(|gone| *gone <= now);
        self.add_times(seen, gone.unwrap_or(now));
        if gone.is_none() {
            seen.gated_now += 1;
            seen.held_now += self.held;
        }
    }
}
