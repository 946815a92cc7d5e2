//! What every part of one consumer shares.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

use super::{
    batcher::{Batcher, Writer},
    fingerprint::FingerprintKey,
    solo::Solo,
};
use crate::{
    ConsumerName, EventPublisher, FailureLog, Limits, RetryPolicy, Timeouts, gate::ClaimToken, gate::Settings,
    limits, stats::Counters,
};

/// One consumer's configuration, handler and handles, shared by its workers, its retries and its callers.
pub(crate) struct Core<H> {
    pub(crate) name: ConsumerName,
    pub(crate) handler: H,
    pub(crate) policy: RetryPolicy,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) log: Arc<dyn FailureLog>,
    pub(crate) publisher: Option<Arc<dyn EventPublisher>>,
    pub(crate) counters: Arc<Counters>,
    /// Writes for events of main streams.
    pub(crate) main: Batcher,
    /// Writes for retries: a queue of their own, so that they never keep the main streams waiting.
    pub(crate) retries: Batcher,
    pub(crate) fingerprints: FingerprintKey,
    pub(crate) solo: Solo,
    pub(crate) due: Due,
    tokens: Tokens,
}

/// What a consumer was given, before anything is started.
pub(crate) struct Parts<H> {
    pub(crate) name: ConsumerName,
    pub(crate) handler: H,
    pub(crate) policy: RetryPolicy,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) log: Arc<dyn FailureLog>,
    pub(crate) publisher: Option<Arc<dyn EventPublisher>>,
    pub(crate) counters: Arc<Counters>,
}

impl<H> Core<H> {
    /// Starts the batchers; must be called in a tokio runtime.
    pub(crate) fn start(parts: Parts<H>) -> Result<Self, getrandom::Error> {
        let Parts { name, handler, policy, limits, timeouts, log, publisher, counters } = parts;
        let settings = Arc::new(limits::settings(&limits, &timeouts, &policy));
        let writer = || Writer {
            log: Arc::clone(&log),
            consumer: name.clone(),
            settings: Arc::clone(&settings),
            counters: Arc::clone(&counters),
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let fingerprints = FingerprintKey::new(u128::from_le_bytes(random));
        let (main, retries) = (Batcher::start(writer()), Batcher::start(writer()));
        // One place for each worker, one for the retries, one for calls to `process`.
        let solo = Solo::new(limits::workers(&limits) + 2);
        Ok(Self {
            name,
            handler,
            policy,
            limits,
            timeouts,
            settings,
            log,
            publisher,
            counters,
            main,
            retries,
            fingerprints,
            solo,
            due: Due::new(),
            tokens: Tokens::new()?,
        })
    }

    pub(crate) fn token(&self) -> ClaimToken {
        self.tokens.fresh()
    }
}

/// Claim tokens: a random half for the process, and a counter.
struct Tokens {
    process: u64,
    next: AtomicU64,
}

impl Tokens {
    fn new() -> Result<Self, getrandom::Error> {
        let mut process = [0; 8];
        getrandom::fill(&mut process)?;
        Ok(Self { process: u64::from_le_bytes(process), next: AtomicU64::new(0) })
    }

    fn fresh(&self) -> ClaimToken {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        ClaimToken::new((u128::from(self.process) << 64) | u128::from(count))
    }
}

/// When the retries should look next, as far as this process knows.
pub(crate) struct Due {
    start: Instant,
    /// Microseconds after the start; the maximum when nothing is known to fall due.
    next: AtomicU64,
    earlier: Notify,
}

impl Due {
    fn new() -> Self {
        Self { start: Instant::now(), next: AtomicU64::new(u64::MAX), earlier: Notify::new() }
    }

    /// Something falls due in so long.
    pub(crate) fn hint(&self, after: Duration) {
        let at = u64::try_from(self.start.elapsed().saturating_add(after).as_micros()).unwrap_or(u64::MAX);
        if self.next.fetch_min(at, Ordering::AcqRel) > at {
            self.earlier.notify_one();
        }
    }

    /// Waits until something is known to fall due, or for so long at most; what was known is forgotten. Cancel safe.
    pub(crate) async fn wait(&self, at_most: Duration) {
        let latest = Instant::now() + at_most.min(Duration::from_secs(86_400));
        loop {
            let micros = self.next.load(Ordering::Acquire);
            let known = self.start.checked_add(Duration::from_micros(micros)).unwrap_or(latest);
            tokio::select! {
                () = tokio::time::sleep_until(known.min(latest)) => {
                    self.next.store(u64::MAX, Ordering::Release);
                    return;
                }
                () = self.earlier.notified() => {}
            }
        }
    }
}
