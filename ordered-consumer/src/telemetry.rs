//! What others can see of a consumer: the one place that names metrics and spans. `docs/telemetry.md` explains each.

mod log_calls;
mod meters;
mod names;
mod observed;
mod spans;
mod tally;
mod watch;

use std::{cell::Cell, sync::Arc};

use metrics::{Gauge, Histogram, Label};
use tokio::time::Instant;

pub(crate) use self::{
    log_calls::MeteredLog,
    meters::{Counter, Level, since},
    observed::ObservedMeters,
    spans::{RunSpan, Running, became},
    tally::Tally,
    watch::watch_totals,
};
use crate::{ConsumerName, HandlerError, StreamName, Totals};

/// What a consumer's metrics and spans tell. Without a recorder (crate `metrics`) and a subscriber (crate `tracing`)
/// they cost next to nothing.
///
/// **Install the recorder before the consumer is first used:** what it records to is decided then.
///
/// ```
/// # use ordered_consumer::{Event, MemoryFailureLog, OrderedConsumer, TelemetryOptions};
/// # async fn charge(_: Event) -> Result<(), std::io::Error> { Ok(()) }
/// let consumer = OrderedConsumer::new("billing", charge, MemoryFailureLog::new())
///     .with_telemetry(TelemetryOptions::default().system("kafka"));
/// ```
#[derive(Clone, Debug)]
pub struct TelemetryOptions {
    system: Arc<str>,
    streams: bool,
    entities: bool,
}

impl Default for TelemetryOptions {
    /// Streams are told apart, entities are not told, and the system is `ordered_consumer`.
    fn default() -> Self {
        Self { system: "ordered_consumer".into(), streams: true, entities: false }
    }
}

impl TelemetryOptions {
    /// The attribute `messaging.system`: what the broker is, in OpenTelemetry's words, such as `kafka` or `aws_sqs`.
    #[must_use]
    pub fn system(mut self, system: impl Into<Arc<str>>) -> Self {
        self.system = system.into();
        self
    }

    /// Whether metrics have a label for the stream. Without it, they are of all the consumer's streams in this process
    /// together: for consumers of so many streams that their metrics would become too many.
    ///
    /// At most 4,096 streams are told apart; the others share the label `_other`.
    #[must_use]
    pub fn streams(mut self, streams: bool) -> Self {
        self.streams = streams;
        self
    }

    /// Whether spans tell the entity: its key, up to 64 bytes, with control characters escaped. **Keys may be personal
    /// data;** nothing tells them unless this asks for it, and metrics never do.
    #[must_use]
    pub fn entities(mut self, entities: bool) -> Self {
        self.entities = entities;
        self
    }
}

/// One consumer's handles.
pub(crate) struct Telemetry {
    options: TelemetryOptions,
    consumer: ConsumerName,
    gated: Gauge,
    parked: Gauge,
    held_events: Gauge,
    held_bytes: Gauge,
    oldest_held: Gauge,
    relay_lag: Gauge,
    is_recorded: bool,
}

impl Telemetry {
    /// Describes what there is, and binds it to the recorder that is installed now.
    pub(crate) fn new(consumer: &ConsumerName, options: TelemetryOptions) -> Self {
        names::describe();
        let gauge = |metric: &names::Metric| metrics::gauge!(metric.name, labels_of(consumer));
        let relay_lag = gauge(&names::RELAY_LAG);
        let asked = Cell::new(false);
        relay_lag.set(meters::Lazy(|| {
            asked.set(true);
            0.0
        }));
        Self {
            gated: gauge(&names::GATED),
            parked: gauge(&names::PARKED_NOW),
            held_events: gauge(&names::HELD_EVENTS),
            held_bytes: gauge(&names::HELD_BYTES),
            oldest_held: gauge(&names::OLDEST_HELD),
            relay_lag,
            is_recorded: asked.get(),
            consumer: consumer.clone(),
            options,
        }
    }

    /// Whether there was a recorder; without one, no clock is read for it.
    pub(crate) fn is_recorded(&self) -> bool {
        self.is_recorded
    }

    /// When what is to be measured begins; none where nobody records it.
    pub(crate) fn begin(&self) -> Option<Instant> {
        self.is_recorded.then(Instant::now)
    }

    /// The counters of a stream; `None` for those that are not told apart any more.
    pub(crate) fn tally(&self, stream: Option<&StreamName>) -> Tally {
        Tally::new(&self.labels(stream), &self.system())
    }

    /// Whether streams have counters of their own.
    pub(crate) fn tells_streams(&self) -> bool {
        self.options.streams
    }

    pub(crate) fn buffers(&self, stream: Option<&StreamName>) -> (Level, Level) {
        let labels = self.labels(stream);
        (Level::bound(&names::BUFFERED_EVENTS, labels.clone()), Level::bound(&names::BUFFERED_BYTES, labels))
    }

    pub(crate) fn waiting(&self, stream: Option<&StreamName>) -> Level {
        Level::bound(&names::WAITING, self.labels(stream))
    }

    pub(crate) fn breaker(&self, stream: Option<&StreamName>) -> Level {
        Level::bound(&names::BREAKER, self.labels(stream))
    }

    /// The counters that belong to no stream.
    pub(crate) fn bind(&self, log_retries: &Counter, blocked: &Counter) {
        log_retries.bind(&names::LOG_RETRIES, labels_of(&self.consumer));
        blocked.bind(&names::HANDLER_STUCK, labels_of(&self.consumer));
    }

    /// A run that failed; runs that succeed have a handle of their own.
    pub(crate) fn run_failed(&self, stream: &StreamName, began: Option<Instant>, error: &HandlerError) {
        let Some(began) = began else { return };
        let mut labels = self.labels(Some(stream));
        labels.push(self.system());
        labels.push(Label::from_static_parts(names::OPERATION_NAME, "process"));
        labels.push(Label::new(names::ERROR_TYPE, error.class().to_owned()));
        metrics::histogram!(names::PROCESS.name, labels).record(since(began));
    }

    pub(crate) fn relay_looked(&self, overdue: std::time::Duration) {
        self.relay_lag.set(overdue);
    }

    pub(crate) fn totals(&self, totals: &Totals) {
        self.gated.set(totals.gated_entities as f64);
        self.parked.set(totals.parked_entities as f64);
        self.held_events.set(totals.held_events as f64);
        self.held_bytes.set(totals.held_bytes as f64);
        self.oldest_held.set(totals.oldest_held.unwrap_or_default());
    }

    fn system(&self) -> Label {
        Label::new(names::SYSTEM, String::from(&*self.options.system))
    }

    fn labels(&self, stream: Option<&StreamName>) -> Vec<Label> {
        let mut labels = labels_of(&self.consumer);
        if self.options.streams {
            let name = stream.map_or_else(|| "_other".to_owned(), |stream| stream.as_str().to_owned());
            labels.push(Label::new(names::STREAM, name));
        }
        labels
    }

    /// How calls to the failure log are measured: when they succeed.
    fn log_calls(&self, operation: &'static str) -> Histogram {
        metrics::histogram!(names::LOG_CALLS.name, self.log_labels(operation))
    }

    fn log_labels(&self, operation: &'static str) -> Vec<Label> {
        let mut labels = labels_of(&self.consumer);
        labels.push(Label::from_static_parts(names::OPERATION, operation));
        labels
    }
}

fn labels_of(consumer: &ConsumerName) -> Vec<Label> {
    vec![Label::new(names::CONSUMER, consumer.as_str().to_owned())]
}
