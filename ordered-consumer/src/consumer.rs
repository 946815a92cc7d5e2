//! The wrap: a consumer around an existing handler.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use crate::{
    ConsumerName, EventPublisher, EventSource, FailureLog, Handler, Limits, NameError, Operator,
    OutagePolicy, ParkedPublisher, RetryPolicy, RunError, Stats, StreamName, StreamsAdded, TelemetryOptions,
    Timeouts,
    engine::{
        conductor::Conductor,
        core::{Core, Parts},
        known_streams::KnownStreams,
    },
    relay::Relay,
    stopped::Stopped,
    telemetry::watch_totals,
};

/// Wraps a handler so that a failing event never lets a later event of its entity overtake it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ordered_consumer::{Event, MemoryFailureLog, OrderedConsumer, in_memory_broker::InMemoryBroker};
///
/// async fn charge(event: Event) -> Result<(), std::io::Error> {
///     println!("charging for {event}");
///     Ok(())
/// }
///
/// let broker = InMemoryBroker::new();
/// broker.create_topic("orders", 3)?;
/// broker.publish("orders", "order-1", "paid")?;
/// broker.close_topic("orders")?;
///
/// let consumer = OrderedConsumer::new("billing", charge, MemoryFailureLog::new());
/// consumer.run(broker.subscribe("billing", &["orders"])?).await?;
/// assert_eq!(consumer.stats().handled, 1);
/// # Ok(())
/// # }
/// ```
///
/// A consumer belongs to the tokio runtime in which it is first used: its writes are made by tasks there.
pub struct OrderedConsumer<H> {
    name: Result<ConsumerName, NameError>,
    policy: RetryPolicy,
    limits: Limits,
    timeouts: Timeouts,
    log: Arc<dyn FailureLog>,
    publisher: Option<Arc<dyn EventPublisher>>,
    parked_mirror: Option<Arc<dyn ParkedPublisher>>,
    telemetry: TelemetryOptions,
    outage_policy: OutagePolicy,
    streams_added: StreamsAdded,
    pub(crate) shared: Arc<Shared>,
    handler: Mutex<Option<H>>,
    core: OnceLock<Arc<Core<H>>>,
}

/// What outlives a consumer's start, and what its operators use.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) streams: Arc<KnownStreams>,
    pub(crate) stopped: Arc<Stopped>,
    pub(crate) waiting: Arc<Stopped>,
    pub(crate) due: Arc<crate::engine::due::Due>,
}

impl<H: Handler> OrderedConsumer<H> {
    /// Wraps a handler under a consumer's name, with the failure log that keeps what fails and what is held.
    ///
    /// The name (1 to 255 bytes without control characters) is the consumer's group: every row in the failure log
    /// belongs to it, and consumers of different names do not see each other. One that cannot be used is refused when
    /// the consumer is first used.
    pub fn new(name: impl AsRef<str>, handler: H, failures: impl FailureLog) -> Self {
        Self {
            name: ConsumerName::new(name),
            policy: RetryPolicy::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
            log: Arc::new(failures),
            publisher: None,
            parked_mirror: None,
            telemetry: TelemetryOptions::default(),
            outage_policy: OutagePolicy::default(),
            streams_added: StreamsAdded::default(),
            shared: Arc::default(),
            handler: Mutex::new(Some(handler)),
            core: OnceLock::new(),
        }
    }

    /// When failed events are tried again, and when they park. Set before the consumer is first used.
    #[must_use]
    pub fn with_retry_policy(mut self, policy: RetryPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// What the consumer may use at most. Set before the consumer is first used.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How long the consumer waits. Set before the consumer is first used.
    #[must_use]
    pub fn with_timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sends released events back through the broker. Without it they come back inside this process. Set before the
    /// consumer is first used.
    #[must_use]
    pub fn with_publisher(mut self, publisher: impl EventPublisher) -> Self {
        self.publisher = Some(Arc::new(publisher));
        self
    }

    /// Shows each parked event to a mirror, such as a topic that dead-letter tools read. Off without it. Set before the
    /// consumer is first used, and alike in all its processes.
    ///
    /// The head of every entity that is parked, for whatever cause, is published **at least once**, also when the process
    /// dies right after the park: the failure log remembers until the mirror has it. The log stays the truth: nothing is
    /// read back, and events that wait behind a parked one are not mirrored, until they become a parked head themselves.
    ///
    /// * An event is mirrored again when it is parked again, and when the answer of a publish was lost; between entities
    ///   there is no order, and none between parks of one entity that follow each other while the mirror is away.
    /// * A park that an operator undoes before the mirror had it (retry, edit, skip, discard, resume) is not mirrored. One
    ///   that the mirror refuses for good is reported once, and is not mirrored.
    /// * What had parked before the mirror was turned on is mirrored when an operator asks for it:
    ///   [`Operator::mirror_all`].
    #[must_use]
    pub fn with_parked_mirror(mut self, mirror: impl ParkedPublisher) -> Self {
        self.parked_mirror = Some(Arc::new(mirror));
        self
    }

    /// When failures of many entities are an outage, for which streams pause. On unless it is [`OutagePolicy::off`]. Set
    /// before the consumer is first used.
    #[must_use]
    pub fn with_outage_policy(mut self, policy: OutagePolicy) -> Self {
        self.outage_policy = policy;
        self
    }

    /// What becomes of streams that are added to a topic while it is consumed (Kafka's partitions): unless changed, they
    /// wait for the old ones. Set before the consumer is first used.
    #[must_use]
    pub fn with_streams_added(mut self, streams_added: StreamsAdded) -> Self {
        self.streams_added = streams_added;
        self
    }

    /// What metrics and spans tell. Set before the consumer is first used.
    #[must_use]
    pub fn with_telemetry(mut self, telemetry: TelemetryOptions) -> Self {
        self.telemetry = telemetry;
        self
    }

    /// Consumes a source until it ends or fails; its retries run beside it.
    ///
    /// Dropping the future is a crash: running handlers are dropped, what was not settled is delivered again, and
    /// nothing acknowledged is lost. To stop in good order, use [`run_until`](Self::run_until).
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(&self, source: impl EventSource) -> Result<(), RunError> {
        self.run_until(source, std::future::pending()).await
    }

    /// As [`run`](Self::run), until `shutdown` is ready: then nothing new begins, running handlers get
    /// [`Timeouts::drain`] to end and are dropped after it, what is done is settled, and the source is closed.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run_until<S: EventSource>(
        &self,
        source: S,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), RunError> {
        let core = self.start()?;
        // Whoever cannot keep a failure must not begin.
        core.log.totals(&core.name).await?;
        tracing::info!(
            consumer = %core.name,
            source = source.describe(),
            sharing = ?source.sharing(),
            failure_log = core.log.describe(),
            way_back = core.publisher.as_ref().map_or_else(|| "in-process".to_owned(), |publisher| publisher.describe()),
            parked_mirror = core.parked_mirror.as_ref().map(|mirror| mirror.describe()),
            running_max = core.limits.running_max,
            held_events_max = core.limits.held_events_max,
            held_bytes_max = core.limits.held_bytes_max,
            retries = %core.policy,
            outages = %core.outage_policy,
            "the consumer starts"
        );
        Conductor::new(core, source).run(shutdown).await
    }

    /// Runs only the retries, until `shutdown` is ready: for those who call [`process`](Self::process) from a loop of
    /// their own. Several at once, in any number of processes, are safe.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run_retries_until(&self, shutdown: impl Future<Output = ()> + Send) -> Result<(), RunError> {
        let core = self.start()?;
        core.log.totals(&core.name).await?;
        let (stop, told) = tokio::sync::mpsc::unbounded_channel();
        let (settle, _settled) = tokio::sync::mpsc::unbounded_channel();
        let stopping = async {
            shutdown.await;
            // The relay ends by itself when nobody can tell it anything any more.
            drop(stop);
        };
        let relay = Relay::new(Arc::clone(&core), told, settle).run();
        let running = async { tokio::join!(relay, stopping) };
        tokio::select! {
            _ = running => {}
            () = watch_totals(&core) => {}
        }
        Ok(())
    }

    /// What this consumer has counted in this process.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.streams.stats()
    }

    /// Streams that wait for an operator, because one of their events cannot be taken or because they are not what
    /// they were, each with why and what to do.
    #[must_use]
    pub fn stopped_streams(&self) -> Vec<(StreamName, String)> {
        self.shared.stopped.all()
    }

    /// Streams of this process that were added to their topic and wait for the old ones, each with what it waits for: see
    /// [`StreamsAdded`].
    #[must_use]
    pub fn waiting_streams(&self) -> Vec<(StreamName, String)> {
        self.shared.waiting.all()
    }

    /// What an operator can ask and do; `by` is who, for the audit.
    ///
    /// # Errors
    /// [`NameError`] if the consumer's name cannot be used.
    pub fn operator(&self, by: impl AsRef<str>) -> Result<Operator, NameError> {
        let operator = Operator::new(Arc::clone(&self.log), self.name.clone()?, by);
        let operator = operator.with_payload_bytes_max(self.limits.payload_bytes_max);
        Ok(operator.waking(Arc::clone(&self.shared.due)))
    }

    /// Starts the consumer's batchers, the first time.
    pub(crate) fn start(&self) -> Result<Arc<Core<H>>, RunError> {
        let name = self.name.clone()?;
        // One at a time, so that the handler is taken once.
        let mut handler = self.handler.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(core) = self.core.get() {
            return Ok(Arc::clone(core));
        }
        let Some(handler) = handler.take() else {
            return Err(RunError::Internal { source: "the consumer could not be started before".into() });
        };
        let parts = Parts {
            name,
            handler,
            policy: self.policy.clone(),
            limits: self.limits.clone(),
            timeouts: self.timeouts.clone(),
            log: Arc::clone(&self.log),
            publisher: self.publisher.as_ref().map(Arc::clone),
            parked_mirror: self.parked_mirror.as_ref().map(Arc::clone),
            telemetry: self.telemetry.clone(),
            outage_policy: self.outage_policy.clone(),
            streams_added: self.streams_added,
            shared: Arc::clone(&self.shared),
        };
        let core = Core::start(parts).map_err(|error| RunError::Internal { source: error.into() })?;
        Ok(Arc::clone(self.core.get_or_init(|| Arc::new(core))))
    }
}

impl<H> fmt::Debug for OrderedConsumer<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OrderedConsumer")
            .field("name", &self.name)
            .field("failure_log", &self.log)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
