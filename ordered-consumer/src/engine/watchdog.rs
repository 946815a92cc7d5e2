//! Notices handlers that block their thread, from a thread of its own: whoever is blocked cannot tell.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{ConsumerName, Index, stats::Counters};

/// What one worker polls at the moment.
#[derive(Default)]
pub(crate) struct Polled {
    /// Microseconds after the watchdog's start, plus one; zero while nothing is polled.
    since: AtomicU64,
    slot: AtomicU64,
    index_high: AtomicU64,
    index_low: AtomicU64,
}

impl Polled {
    fn index(&self) -> Index {
        let high = u128::from(self.index_high.load(Ordering::Relaxed));
        Index::new((high << 64) | u128::from(self.index_low.load(Ordering::Relaxed)))
    }
}

/// A worker's end of the watchdog.
pub(crate) struct Watched {
    polled: Arc<Polled>,
    start: Instant,
}

impl Watched {
    /// Says that an event is about to be polled.
    pub(crate) fn begin(&self, slot: u64, index: Index) {
        let low = u64::try_from(index.get() & u128::from(u64::MAX)).unwrap_or(0);
        let high = u64::try_from(index.get() >> 64).unwrap_or(0);
        self.polled.slot.store(slot, Ordering::Relaxed);
        self.polled.index_low.store(low, Ordering::Relaxed);
        self.polled.index_high.store(high, Ordering::Relaxed);
        let since = u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX - 1) + 1;
        self.polled.since.store(since, Ordering::Release);
    }

    /// Says that the poll has returned.
    pub(crate) fn end(&self) {
        self.polled.since.store(0, Ordering::Release);
    }
}

/// The thread; it ends when this is dropped.
pub(crate) struct Watchdog {
    stop: Arc<(Mutex<bool>, Condvar)>,
    polled: Vec<Arc<Polled>>,
    start: Instant,
}

impl Watchdog {
    pub(crate) fn start(
        workers: usize,
        limit: Duration,
        name: ConsumerName,
        counters: Arc<Counters>,
    ) -> Self {
        let polled: Vec<Arc<Polled>> = (0..workers).map(|_| Arc::default()).collect();
        let watchdog = Self { stop: Arc::default(), polled, start: Instant::now() };
        let (stop, polled, start) = (Arc::clone(&watchdog.stop), watchdog.polled.clone(), watchdog.start);
        let look = move || look(&stop, &polled, start, limit, &name, &counters);
        if let Err(error) = thread::Builder::new().name("ordered-consumer-watchdog".into()).spawn(look) {
            tracing::warn!(%error, "no thread for the watchdog: handlers that block their thread are not reported");
        }
        watchdog
    }

    pub(crate) fn watched(&self, worker: usize) -> Watched {
        let polled = self.polled.get(worker).map(Arc::clone).unwrap_or_default();
        Watched { polled, start: self.start }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
    }
}

fn look(
    stop: &(Mutex<bool>, Condvar),
    polled: &[Arc<Polled>],
    start: Instant,
    limit: Duration,
    name: &ConsumerName,
    counters: &Counters,
) {
    let mut reported = vec![0; polled.len()];
    let mut stopped = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stopped {
        let pause = (limit / 4).max(Duration::from_millis(1));
        stopped = stop.1.wait_timeout(stopped, pause).unwrap_or_else(PoisonError::into_inner).0;
        for (worker, (polled, reported)) in polled.iter().zip(&mut reported).enumerate() {
            let since = polled.since.load(Ordering::Acquire);
            let index = polled.index();
            let blocked = start.elapsed().saturating_sub(Duration::from_micros(since.saturating_sub(1)));
            // A poll that is reported once is not reported again, and one that has changed meanwhile is another one.
            let same = polled.since.load(Ordering::Acquire) == since;
            if since > 0 && same && *reported != since && blocked >= limit {
                *reported = since;
                counters.blocked.add(1);
                tracing::warn!(consumer = %name, worker, index = %index, blocked_ms = blocked.as_millis(),
                    "a handler blocks its thread, and the entities that share its worker wait; do blocking work in `tokio::task::spawn_blocking`");
            }
        }
    }
}
