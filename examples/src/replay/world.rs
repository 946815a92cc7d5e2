//! What outlives a crash of the consumer: the broker, the handler's record, the faults, and the plan of crashes.

use std::{
    collections::BTreeSet,
    process,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use ordered_consumer::{
    Index, StreamName,
    in_memory_broker::{InMemoryBroker, NewEvent},
};

use super::{
    EventLog, Faults, Interrupt, Options, Record,
    faults::crash_points,
    life::{CONSUMER, TOPIC},
    position::Saved,
    progress::Progress,
    store::Store,
};

/// Over how many partitions the log is spread, by entity.
pub(super) const PARTITIONS: u32 = 8;

/// How often the broker's positions are written beside a SQLite failure log at most.
const SAVE_EVERY: Duration = Duration::from_millis(100);

/// What is to happen now that so many runs have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Crash,
    Interrupt,
}

/// What outlives a crash of the consumer.
pub(super) struct World {
    pub(super) options: Options,
    pub(super) log: Arc<EventLog>,
    pub(super) faults: Arc<Faults>,
    pub(super) record: Arc<Record>,
    pub(super) broker: InMemoryBroker,
    pub(super) store: Store,
    pub(super) interrupt: Interrupt,
    streams: Vec<StreamName>,
    /// Where the broker has put each row.
    places: Vec<(StreamName, Index)>,
    plan: Mutex<Plan>,
    saved: Mutex<(Saved, Instant)>,
    progress: Progress,
    crashes: AtomicUsize,
}

/// What is to happen, in runs that have ended.
#[derive(Debug)]
struct Plan {
    crashes: Vec<usize>,
    next_crash: usize,
    interrupt: usize,
    abort: usize,
}

impl World {
    /// Feeds the broker with the log, and sets its positions to where an earlier process left them.
    pub(super) fn new(
        options: Options,
        log: Arc<EventLog>,
        record: Arc<Record>,
        store: Store,
        interrupt: Interrupt,
        saved: Saved,
    ) -> Result<Self> {
        let broker = InMemoryBroker::new();
        broker.create_topic(TOPIC, PARTITIONS)?;
        let places = feed(&broker, &log)?;
        let streams = (0..PARTITIONS).map(|partition| StreamName::new(format!("{TOPIC}/{partition}")));
        let streams = streams.collect::<Result<Vec<_>, _>>()?;
        // The group has positions once a member has joined it.
        drop(broker.subscribe(CONSUMER, &[TOPIC])?);
        for (stream, &next) in streams.iter().zip(&saved.next).filter(|(_, next)| **next > 0) {
            broker.rewind(CONSUMER, stream, Index::from(next))?;
        }
        let faults = Arc::new(Faults::draw(&log, options.seed, options.fail, options.park));
        let plan = Mutex::new(Plan::draw(&options, &log, &faults, &record));
        let progress = Progress::new(log.events.len());
        let saved = Mutex::new((saved, Instant::now()));
        let crashes = AtomicUsize::new(0);
        Ok(Self {
            options,
            log,
            faults,
            record,
            broker,
            store,
            interrupt,
            streams,
            places,
            plan,
            saved,
            progress,
            crashes,
        })
    }

    /// Has the record ring when something is due next.
    pub(super) fn arm(&self) {
        let mut plan = self.plan();
        let point = plan.crashes.get(self.crashes()).copied().unwrap_or(usize::MAX);
        // Where the last crash came late, the next one waits until something has been done again.
        plan.next_crash = point.max(self.record.ended_count().saturating_add(1));
        let next = plan.next_crash.min(plan.interrupt).min(plan.abort);
        drop(plan);
        self.record.set_alarm(next);
    }

    /// What is due now. An abort happens here.
    pub(super) fn due(&self) -> Option<Due> {
        let ended = self.record.ended_count();
        let plan = self.plan();
        if ended >= plan.abort {
            process::abort();
        }
        if ended >= plan.interrupt {
            return Some(Due::Interrupt);
        }
        (ended >= plan.next_crash).then_some(Due::Crash)
    }

    /// How often the consumer has crashed.
    pub(super) fn crashes(&self) -> usize {
        self.crashes.load(Ordering::SeqCst)
    }

    /// How often it is still to crash.
    pub(super) fn crashes_left(&self) -> usize {
        self.options.crash.saturating_sub(self.crashes())
    }

    pub(super) fn crashed(&self) {
        self.crashes.fetch_add(1, Ordering::SeqCst);
    }

    /// An operator has released the entity of this name.
    pub(super) fn release(&self, entity: &[u8]) {
        let known = self.log.entities.iter().position(|name| name.as_bytes() == entity);
        if let Some(entity) = known {
            self.faults.release(entity);
        }
    }

    /// Shows how far it is, and writes the broker's positions if that is due.
    pub(super) fn look(&self) -> Result<()> {
        self.progress.show(self.record.handled_count(), self.crashes());
        if let Some(error) = self.record.take_failure() {
            return Err(error);
        }
        let is_due = self.saved().1.elapsed() >= SAVE_EVERY;
        if is_due { self.save() } else { Ok(()) }
    }

    /// Writes the broker's positions beside the failure log, if a later process could resume from it.
    pub(super) fn save(&self) -> Result<()> {
        let Some(path) = self.store.resumable() else { return Ok(()) };
        let mut saved = self.saved();
        for (next, stream) in saved.0.next.iter_mut().zip(&self.streams) {
            if let Some(committed) = self.broker.committed(CONSUMER, stream) {
                let committed = u64::try_from(committed.get()).context("an index of the replay is small")?;
                *next = committed.saturating_add(1);
            }
        }
        saved.1 = Instant::now();
        saved.0.store(path)
    }

    /// The rows that the broker has been told are done.
    pub(super) fn settled_rows(&self) -> BTreeSet<usize> {
        let is_settled = |(stream, index): &(StreamName, Index)| {
            self.broker.committed(CONSUMER, stream).is_some_and(|committed| *index <= committed)
        };
        let places = self.places.iter().enumerate();
        places.filter(|(_, place)| is_settled(place)).map(|(row, _)| row).collect()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saved(&self) -> MutexGuard<'_, (Saved, Instant)> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plan {
    fn draw(options: &Options, log: &EventLog, faults: &Faults, record: &Record) -> Self {
        let before = record.ended_count();
        let stuck = faults.stuck();
        let behind_stuck: usize = stuck
            .iter()
            .map(|row| log.rows_of[log.events[*row].entity].iter().filter(|later| *later > row).count())
            .sum();
        // About as many runs as there will be at least: every point then lies where something is under way.
        let runs = log.events.len().saturating_sub(record.handled_count() + behind_stuck);
        let points = crash_points(options.seed, options.crash, runs - runs / 10);
        let after = |runs: Option<usize>| runs.map_or(usize::MAX, |runs| before.saturating_add(runs));
        Self {
            crashes: points.into_iter().map(|point| before + point).collect(),
            next_crash: usize::MAX,
            interrupt: after(options.interrupt_after),
            abort: after(options.abort_after),
        }
    }
}

/// Publishes every row, in the log's order, and says where each went.
fn feed(broker: &InMemoryBroker, log: &EventLog) -> Result<Vec<(StreamName, Index)>> {
    let mut places = Vec::with_capacity(log.events.len());
    for (row, event) in log.events.iter().enumerate() {
        let entity = log.entities[event.entity].clone();
        let mut new = NewEvent::new(entity, event.payload.clone());
        new.id = Some(row.to_string().into());
        new.event_type = (!event.activity.is_empty()).then(|| event.activity.clone().into());
        places.push(broker.publish_event(TOPIC, new)?);
    }
    Ok(places)
}
