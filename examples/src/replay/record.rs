//! The handler's own record: what ran, in which order, and how it ended.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::journal::Journal;

/// One run of the handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The event's row in the file, from 0.
    pub row: usize,
    /// Which attempt it was, as the product told the handler.
    pub attempt: u32,
    /// Whether the product said that the event may have been handed over before.
    pub redelivered: bool,
    /// Whether it succeeded; none when it was dropped before its end, as by a crash.
    pub ok: Option<bool>,
    /// In which life of the consumer it ran: every start is another one, across processes too.
    pub life: u32,
    /// How many runs had ended when it began: what ended before it began can be told by this.
    pub began: usize,
    /// When it ended, since the replay began; zero for a run of an earlier process.
    pub ended_at: Duration,
}

/// What the handler of every life writes down, and what was seen of each row at the source.
#[derive(Debug)]
pub struct Record {
    start: Instant,
    runs: Mutex<Runs>,
    arrivals: Mutex<Vec<Option<Duration>>>,
    failure: Mutex<Option<anyhow::Error>>,
    /// How many runs have ended, to look at without the lock.
    ended: AtomicUsize,
    /// How many of them when something is to happen: a crash, an interrupt, an abort.
    alarm_at: AtomicUsize,
    /// Rings when `alarm_at` is reached.
    pub(super) alarm: Notify,
}

#[derive(Debug, Default)]
struct Runs {
    ended: Vec<Run>,
    dropped: Vec<Run>,
    handled: Vec<bool>,
    handled_count: usize,
    journal: Option<Journal>,
}

impl Record {
    /// An empty record of a log with so many rows.
    #[must_use]
    pub fn new(rows: usize) -> Self {
        Self {
            start: Instant::now(),
            runs: Mutex::new(Runs { handled: vec![false; rows], ..Runs::default() }),
            arrivals: Mutex::new(vec![None; rows]),
            failure: Mutex::default(),
            ended: AtomicUsize::new(0),
            alarm_at: AtomicUsize::new(usize::MAX),
            alarm: Notify::new(),
        }
    }

    /// Goes on where earlier processes ended: their runs, and the journal that takes what follows.
    pub(super) fn resume(&self, earlier: Vec<Run>, journal: Journal) {
        let mut runs = self.lock();
        for run in earlier {
            runs.push(run);
        }
        runs.journal = Some(journal);
        self.ended.store(runs.ended.len(), Ordering::SeqCst);
    }

    /// A run begins; it is recorded when the answer is ended, or dropped.
    #[must_use]
    pub fn begin(self: &Arc<Self>, row: usize, attempt: u32, redelivered: bool, life: u32) -> Running {
        let began = self.lock().ended.len();
        let run = Run { row, attempt, redelivered, ok: None, life, began, ended_at: Duration::ZERO };
        Running { record: Arc::clone(self), run, is_over: false }
    }

    /// Every run that ended, in the order in which they did.
    #[must_use]
    pub fn ended_runs(&self) -> Vec<Run> {
        self.lock().ended.clone()
    }

    /// Every run that was dropped before its end.
    #[must_use]
    pub fn dropped_runs(&self) -> Vec<Run> {
        self.lock().dropped.clone()
    }

    /// How many runs have ended.
    #[must_use]
    pub fn ended_count(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// How many rows have been handled successfully.
    #[must_use]
    pub fn handled_count(&self) -> usize {
        self.lock().handled_count
    }

    /// Has [`Self::alarm`] ring once so many runs have ended.
    pub(super) fn set_alarm(&self, ended: usize) {
        self.alarm_at.store(ended, Ordering::SeqCst);
        if self.ended_count() >= ended {
            self.alarm.notify_one();
        }
    }

    /// The row was handed over by the broker; the first time counts.
    pub(super) fn arrived(&self, row: usize) {
        let mut arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(arrival) = arrivals.get_mut(row) {
            arrival.get_or_insert_with(|| self.start.elapsed());
        }
    }

    /// When the broker first handed the row over in this process.
    #[must_use]
    pub fn arrival(&self, row: usize) -> Option<Duration> {
        let arrivals = self.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.get(row).copied().flatten()
    }

    /// How long ago the replay began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The error, if any, that made the record incomplete.
    pub(super) fn take_failure(&self) -> Option<anyhow::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn end(&self, mut run: Run) {
        let mut runs = self.lock();
        run.ended_at = self.start.elapsed();
        if run.ok.is_none() {
            runs.dropped.push(run);
            return;
        }
        // Under the lock, so that the journal has the same order.
        if let Some(Err(error)) = runs.journal.as_mut().map(|journal| journal.write(&run)) {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        runs.push(run);
        let ended = runs.ended.len();
        self.ended.store(ended, Ordering::SeqCst);
        if ended >= self.alarm_at.load(Ordering::SeqCst) {
            self.alarm.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runs {
    fn push(&mut self, run: Run) {
        if run.ok == Some(true)
            && let Some(handled) = self.handled.get_mut(run.row)
            && !std::mem::replace(handled, true)
        {
            self.handled_count += 1;
        }
        self.ended.push(run);
    }
}

/// A run under way. Dropped without [`end`](Self::end), it is recorded as broken off.
#[derive(Debug)]
pub struct Running {
    record: Arc<Record>,
    run: Run,
    is_over: bool,
}

impl Running {
    /// The run is over.
    pub fn end(mut self, ok: bool) {
        self.run.ok = Some(ok);
        self.is_over = true;
        self.record.end(self.run);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_over {
            self.record.end(self.run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_kept_in_the_order_in_which_they_end_and_know_what_ended_before_they_began() {
        let record = Arc::new(Record::new(3));
        let first = record.begin(0, 1, false, 1);
        let second = record.begin(1, 1, false, 1);
        second.end(true);
        let third = record.begin(2, 1, false, 1);
        first.end(false);
        drop(third);
        let ended: Vec<(usize, usize)> = record.ended_runs().iter().map(|run| (run.row, run.began)).collect();
        assert_eq!(ended, [(1, 0), (0, 0)]);
        assert_eq!(record.dropped_runs()[0].began, 1);
        assert_eq!((record.ended_count(), record.handled_count()), (2, 1));
    }
}
