//! The conductor: owns the source, hands events to the workers, and tells the source what is done with.

mod chores;
mod events;
mod layouts;
mod streams;

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    pin::pin,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, interval, sleep_until},
};

use super::{
    core::Core,
    fingerprint::BuildIdentity,
    intake::Intake,
    watchdog::Watchdog,
    worker::{FromWorker, ToWorker, Worker},
};
use crate::{
    Assignment, EventSource, Handler, ReturnedCopy, RunError, SourceError, SourceMessage, StreamName, limits,
    relay::{Relay, ToRelay},
};

/// How long a source that is unavailable is left alone.
const SOURCE_WAIT_MAX: Duration = Duration::from_secs(5);
/// Copies from the retry stream that wait for room to run.
const COPIES_MAX: usize = 10_000;
const FAR: Duration = Duration::from_secs(86_400);

/// A call to the failure log that the conductor does not wait for has ended.
pub(crate) type Step<H, S> = Box<dyn FnOnce(&mut Conductor<H, S>) + Send>;

/// See the module.
pub(crate) struct Conductor<H, S> {
    core: Arc<Core<H>>,
    source: S,
    workers: Vec<mpsc::UnboundedSender<ToWorker>>,
    reports: mpsc::UnboundedReceiver<FromWorker>,
    relay: mpsc::UnboundedSender<ToRelay>,
    settled_copies: mpsc::UnboundedReceiver<Vec<u64>>,
    /// Copies that were handed to the relay and are not done with.
    copies: usize,
    copies_paused: bool,
    tasks: JoinSet<()>,
    _watchdog: Watchdog,
    intakes: HashMap<u64, Intake, BuildIdentity>,
    slots: HashMap<Assignment, u64>,
    next_slot: u64,
    steps: FuturesUnordered<BoxFuture<'static, Step<H, S>>>,
    /// No more is taken from the source before this.
    source_waits: Option<Instant>,
    source_wait: Duration,
    ended: bool,
    stopping: bool,
    failed: Option<SourceError>,
    over_total: bool,
    /// Calls of the last round of chores that have not come back.
    chores_left: usize,
    /// What is held in all is not counted again before this.
    totals_after: Instant,
    /// Layouts in which streams of this or another process wait for old ones, as far as is known.
    awaited: HashSet<StreamName>,
}

impl<H: Handler, S: EventSource> Conductor<H, S> {
    /// Starts the workers and the relay.
    pub(crate) fn new(core: Arc<Core<H>>, source: S) -> Self {
        let count = limits::workers(&core.limits);
        let (report, reports) = mpsc::unbounded_channel();
        let watchdog =
            Watchdog::start(count, core.timeouts.blocked, core.name.clone(), Arc::clone(&core.streams));
        let (mut tasks, mut workers) = (JoinSet::new(), Vec::new());
        for place in 0..count {
            let (worker, inbox) = mpsc::unbounded_channel();
            let room = core.limits.running_max.max(1);
            let running_max = room / count + usize::from(place < room % count);
            let watched = watchdog.watched(place);
            let made = Worker::new(Arc::clone(&core), (place, running_max), inbox, report.clone(), watched);
            tasks.spawn(made.run());
            workers.push(worker);
        }
        let (relay, relayed) = mpsc::unbounded_channel();
        let (settle_copies, settled_copies) = mpsc::unbounded_channel();
        tasks.spawn(Relay::new(Arc::clone(&core), relayed, settle_copies).run());
        Self {
            core,
            source,
            workers,
            reports,
            relay,
            settled_copies,
            copies: 0,
            copies_paused: false,
            tasks,
            _watchdog: watchdog,
            intakes: HashMap::default(),
            slots: HashMap::new(),
            next_slot: 1,
            steps: FuturesUnordered::new(),
            source_waits: None,
            source_wait: Duration::ZERO,
            ended: false,
            stopping: false,
            failed: None,
            over_total: false,
            chores_left: 0,
            totals_after: Instant::now(),
            awaited: HashSet::new(),
        }
    }

    /// Runs until the source has ended, the shutdown has come, or nothing can go on.
    pub(crate) async fn run(mut self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let mut shutdown = pin!(shutdown.fuse());
        let mut chores = interval(self.core.timeouts.refresh.max(Duration::from_millis(1)));
        loop {
            let next_drop = self.intakes.values().filter_map(|intake| intake.drop_at).min();
            let listens = !self.ended && !self.stopping;
            let now = Instant::now();
            let source_ready = listens && self.source_waits.is_none_or(|until| until <= now);
            let wait_for_source = self.source_waits.filter(|until| listens && *until > now);
            tokio::select! {
                Some(report) = self.reports.recv() => self.reported(report),
                Some(step) = self.steps.next(), if !self.steps.is_empty() => step(&mut self),
                said = self.source.next(), if source_ready => self.said(said),
                Some(receipts) = self.settled_copies.recv() => self.copies_settled(&receipts),
                () = sleep_until(next_drop.unwrap_or(now + FAR)), if next_drop.is_some() => self.drop_overdue(),
                () = sleep_until(wait_for_source.unwrap_or(now + FAR)), if wait_for_source.is_some() => {}
                _ = chores.tick() => self.chores(),
                () = &mut shutdown, if !self.stopping => self.stop(),
                Some(ended) = self.tasks.join_next() => {
                    if let Err(error) = ended { return Err(RunError::Internal { source: Box::new(error) }); }
                }
            }
            if self.ended && !self.stopping && self.intakes.values().all(Intake::is_idle) {
                self.stop();
            }
            if self.stopping && self.intakes.is_empty() {
                return self.close().await;
            }
        }
    }

    fn said(&mut self, said: Result<SourceMessage, SourceError>) {
        let message = match said {
            Ok(message) => message,
            Err(error @ SourceError::Unavailable(_)) => {
                self.source_wait = (self.source_wait * 2).clamp(Duration::from_millis(50), SOURCE_WAIT_MAX);
                self.source_waits = Some(Instant::now() + self.source_wait);
                let error = crate::error_text(&error);
                tracing::warn!(consumer = %self.core.name, error, wait = ?self.source_wait, "the source is asked again");
                return;
            }
            Err(error) => {
                tracing::error!(consumer = %self.core.name, error = crate::error_text(&error), "the source has failed; the consumer stops");
                self.failed = Some(error);
                self.stop();
                return;
            }
        };
        (self.source_wait, self.source_waits) = (Duration::ZERO, None);
        match message {
            SourceMessage::Assigned(streams) => streams.into_iter().for_each(|stream| self.assigned(stream)),
            SourceMessage::Revoked { assignments, lost } => {
                assignments.iter().for_each(|assignment| self.revoked(assignment, lost));
            }
            SourceMessage::Events { assignment, deliveries } => self.delivered(&assignment, deliveries),
            SourceMessage::Unreadable { assignment, index, why } => self.unreadable(&assignment, index, why),
            SourceMessage::Copies(copies) => self.copies(copies),
            SourceMessage::Settled { assignment, through } => {
                let slot = self.slots.get(&assignment).copied();
                if let Some(intake) = slot.and_then(|slot| self.intakes.get_mut(&slot)) {
                    intake.settled = intake.settled.max(Some(through));
                }
            }
            SourceMessage::Ended => self.ended = true,
        }
    }

    /// Hands copies to the relay; with enough of them there, the source is asked for no more.
    fn copies(&mut self, copies: Vec<ReturnedCopy>) {
        self.copies += copies.len();
        self.tell_relay(ToRelay::Copies(copies));
        if self.copies >= COPIES_MAX && !self.copies_paused {
            self.copies_paused = true;
            self.source.pause_copies();
        }
    }

    fn copies_settled(&mut self, receipts: &[u64]) {
        self.source.settle_copies(receipts);
        self.copies = self.copies.saturating_sub(receipts.len());
        if self.copies <= COPIES_MAX / 2 && self.copies_paused {
            self.copies_paused = false;
            self.source.resume_copies();
        }
    }

    fn tell_relay(&self, message: ToRelay) {
        // A relay that is gone has failed, which ends the run by itself.
        drop(self.relay.send(message));
    }

    fn tell_worker(&self, worker: usize, message: ToWorker) {
        if let Some(worker) = self.workers.get(worker) {
            // As with the relay.
            drop(worker.send(message));
        }
    }

    /// Nothing more is taken in; what runs may end, within the time for that.
    fn stop(&mut self) {
        self.stopping = true;
        let assignments: Vec<Assignment> = self.slots.keys().cloned().collect();
        for assignment in assignments {
            self.revoked(&assignment, false);
        }
    }

    async fn close(mut self) -> Result<(), RunError> {
        // Retries that run may end, too, and give their claims back if they do not.
        self.tell_relay(ToRelay::Stop);
        self.workers.clear();
        let ended = tokio::time::timeout(self.core.timeouts.drain * 2, async {
            while self.tasks.join_next().await.is_some() {}
        });
        if ended.await.is_err() {
            tracing::warn!(consumer = %self.core.name, "a handler has not ended within the time for it, and is left behind");
        }
        while let Ok(receipts) = self.settled_copies.try_recv() {
            self.copies_settled(&receipts);
        }
        let closed = self.source.close().await;
        tracing::info!(consumer = %self.core.name, "the consumer has stopped");
        match self.failed.map_or(closed, Err) {
            Ok(()) => Ok(()),
            Err(source) => Err(RunError::Source { source }),
        }
    }
}
