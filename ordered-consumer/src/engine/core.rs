//! What every part of one consumer shares.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::{
    batcher::{Batcher, PACE, Writer},
    due::Due,
    fingerprint::FingerprintKey,
    known_streams::{KnownStream, KnownStreams},
    solo::Solo,
    turns::Turns,
};
use crate::{
    ConsumerName, EventPublisher, FailureLog, Limits, OutagePolicy, ParkedPublisher, RetryPolicy, StreamName,
    StreamsAdded, Timeouts,
    consumer::Shared,
    gate::ClaimToken,
    gate::Settings,
    limits,
    stopped::Stopped,
    telemetry::{MeteredLog, Telemetry, TelemetryOptions},
};

/// One consumer's configuration, handler and handles, shared by its workers, its retries and its callers.
pub(crate) struct Core<H> {
    pub(crate) name: ConsumerName,
    pub(crate) handler: H,
    pub(crate) policy: RetryPolicy,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) log: Arc<MeteredLog>,
    pub(crate) publisher: Option<Arc<dyn EventPublisher>>,
    pub(crate) parked_mirror: Option<Arc<dyn ParkedPublisher>>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) outage_policy: OutagePolicy,
    pub(crate) streams_added: StreamsAdded,
    pub(crate) streams: Arc<KnownStreams>,
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
    pub(crate) waiting: Arc<Stopped>,
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
    pub(crate) parked_mirror: Option<Arc<dyn ParkedPublisher>>,
    pub(crate) telemetry: TelemetryOptions,
    pub(crate) outage_policy: OutagePolicy,
    pub(crate) streams_added: StreamsAdded,
    pub(crate) shared: Arc<Shared>,
}

impl<H> Core<H> {
    /// Starts the batchers; must be called in a tokio runtime.
    pub(crate) fn start(parts: Parts<H>) -> Result<Self, getrandom::Error> {
        let Parts {
            name,
            handler,
            policy,
            limits,
            timeouts,
            log,
            publisher,
            parked_mirror,
            telemetry,
            outage_policy,
            streams_added,
            shared,
        } = parts;
        let telemetry = Arc::new(Telemetry::new(&name, telemetry));
        let log = Arc::new(MeteredLog::new(log, Arc::clone(&telemetry)));
        let streams = Arc::clone(&shared.streams);
        streams.record_to(&telemetry);
        let settings = Arc::new(limits::settings(&limits, &timeouts, &policy, parked_mirror.is_some()));
        let writer = |pace| Writer {
            log: Arc::clone(&log),
            consumer: name.clone(),
            settings: Arc::clone(&settings),
            streams: Arc::clone(&streams),
            pace,
        };
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let fingerprints = FingerprintKey::new(u128::from_le_bytes(random));
        let (main, retries) = (Batcher::start(writer(PACE)), Batcher::start(writer(Duration::ZERO)));
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
            parked_mirror,
            telemetry,
            outage_policy,
            streams_added,
            streams,
            main,
            retries,
            fingerprints,
            solo,
            turns: Turns::default(),
            due: Arc::clone(&shared.due),
            stopped: Arc::clone(&shared.stopped),
            waiting: Arc::clone(&shared.waiting),
            tokens: Tokens::new()?,
        })
    }

    /// What is known of a stream.
    pub(crate) fn stream(&self, name: &StreamName) -> Arc<KnownStream> {
        self.streams.get(name, &self.telemetry, &self.outage_policy)
    }

    /// An entity was parked: the mirror is to have its head soon.
    pub(crate) fn hint_mirror(&self) {
        if self.parked_mirror.is_some() {
            self.due.hint(Duration::ZERO);
        }
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
