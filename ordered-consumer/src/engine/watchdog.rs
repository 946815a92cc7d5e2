//! Notices handlers that block their thread, from a thread of its own: whoever is blocked cannot tell.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{ConsumerName, Index, engine::known_streams::KnownStreams};

/// What one worker polls at the moment.
#[derive(Default)]
pub(crate) struct Polled {
    /// The number of the poll under way; zero while nothing is polled.
    poll: AtomicU64,
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
    polls: AtomicU64,
}

impl Watched {
    /// Says that an event is about to be polled. It reads no clock, because that would cost every event as much as
    /// everything else here together: the watchdog's own looks tell how long a poll has been under way.
    pub(crate) fn begin(&self, slot: u64, index: Index) {
        let low = u64::try_from(index.get() & u128::from(u64::MAX)).unwrap_or(0);
        let high = u64::try_from(index.get() >> 64).unwrap_or(0);
        self.polled.slot.store(slot, Ordering::Relaxed);
        self.polled.index_low.store(low, Ordering::Relaxed);
        self.polled.index_high.store(high, Ordering::Relaxed);
        // Only this worker counts, so that no read-modify-write is needed.
        let poll = self.polls.load(Ordering::Relaxed).wrapping_add(1).max(1);
        self.polls.store(poll, Ordering::Relaxed);
        self.polled.poll.store(poll, Ordering::Release);
    }

    /// Says that the poll has returned.
    pub(crate) fn end(&self) {
        self.polled.poll.store(0, Ordering::Release);
    }
}

/// The thread; it ends when this is dropped.
pub(crate) struct Watchdog {
    stop: Arc<(Mutex<bool>, Condvar)>,
    polled: Vec<Arc<Polled>>,
}

impl Watchdog {
    pub(crate) fn start(
        workers: usize,
        limit: Duration,
        name: ConsumerName,
        streams: Arc<KnownStreams>,
    ) -> Self {
        let polled: Vec<Arc<Polled>> = (0..workers).map(|_| Arc::default()).collect();
        let watchdog = Self { stop: Arc::default(), polled };
        let (stop, polled) = (Arc::clone(&watchdog.stop), watchdog.polled.clone());
        let look = move || look(&stop, &polled, limit, &name, &streams);
        if let Err(error) = thread::Builder::new().name("ordered-consumer-watchdog".into()).spawn(look) {
            tracing::warn!(%error, "no thread for the watchdog: handlers that block their thread are not reported");
        }
        watchdog
    }

    pub(crate) fn watched(&self, worker: usize) -> Watched {
        let polled = self.polled.get(worker).map(Arc::clone).unwrap_or_default();
        Watched { polled, polls: AtomicU64::new(0) }
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
    limit: Duration,
    name: &ConsumerName,
    streams: &KnownStreams,
) {
    let mut seen: Vec<_> =
        polled.iter().map(|_| Seen { poll: 0, since: Instant::now(), reported: false }).collect();
    let mut stopped = stop.0.lock().unwrap_or_else(PoisonError::into_inner);
    while !*stopped {
        let pause = (limit / 8).max(Duration::from_millis(1));
        stopped = stop.1.wait_timeout(stopped, pause).unwrap_or_else(PoisonError::into_inner).0;
        for (worker, (polled, seen)) in polled.iter().zip(&mut seen).enumerate() {
            let poll = polled.poll.load(Ordering::Acquire);
            let index = polled.index();
            // One that has changed meanwhile is another poll, whose index this may not be.
            let same = polled.poll.load(Ordering::Acquire) == poll;
            if poll == 0 || !same || poll != seen.poll {
                *seen = Seen { poll, since: Instant::now(), reported: false };
                continue;
            }
            let blocked = seen.since.elapsed();
            if blocked >= limit && !seen.reported {
                seen.reported = true;
                streams.blocked.add(1);
                tracing::warn!(consumer = %name, worker, index = %index, blocked_ms = blocked.as_millis(),
                    "a handler blocks its thread, and the entities that share its worker wait; do blocking work in `tokio::task::spawn_blocking`");
            }
        }
    }
}

/// What the watchdog has seen of a worker: a poll that it reports once.
struct Seen {
    poll: u64,
    /// When it was first seen, which is up to one look after it began.
    since: Instant,
    reported: bool,
}
