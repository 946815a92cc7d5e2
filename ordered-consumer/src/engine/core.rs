//! What every part of one consumer shares.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{
    batcher::{Batcher, Writer},
    due::Due,
    fingerprint::FingerprintKey,
    solo::Solo,
    turns::Turns,
};
use crate::{
    ConsumerName, EventPublisher, FailureLog, Limits, RetryPolicy, Timeouts, consumer::Shared,
    gate::ClaimToken, gate::Settings, limits, stats::Counters, stopped::Stopped,
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
    /// Turns of entities among calls to `process`.
    pub(crate) turns: Turns,
    pub(crate) due: Arc<Due>,
    pub(crate) stopped: Arc<Stopped>,
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
    pub(crate) shared: Arc<Shared>,
}

impl<H> Core<H> {
    /// Starts the batchers; must be called in a tokio runtime.
    pub(crate) fn start(parts: Parts<H>) -> Result<Self, getrandom::Error> {
        let Parts { name, handler, policy, limits, timeouts, log, publisher, shared } = parts;
        let counters = Arc::clone(&shared.counters);
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
            turns: Turns::default(),
            due: Arc::clone(&shared.due),
            stopped: Arc::clone(&shared.stopped),
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
