//! Every metric and every label, once. `docs/telemetry.md` explains them to people, and a test compares the two.

use metrics::Unit;

/// What a metric is.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric's name, kind, unit and meaning.
pub(crate) struct Metric {
    pub(crate) name: &'static str,
    kind: Kind,
    unit: Unit,
    about: &'static str,
}

pub(crate) const CONSUMER: &str = "messaging.consumer.group.name";
pub(crate) const STREAM: &str = "messaging.destination.name";
pub(crate) const SYSTEM: &str = "messaging.system";
pub(crate) const OPERATION_NAME: &str = "messaging.operation.name";
pub(crate) const ERROR_TYPE: &str = "error.type";
pub(crate) const OUTCOME: &str = "ordered_consumer.outcome";
pub(crate) const CAUSE: &str = "ordered_consumer.cause";
pub(crate) const RUN: &str = "ordered_consumer.run";
pub(crate) const OPERATION: &str = "ordered_consumer.operation";

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal, $unit:ident, $about:literal;)+) => {
        $(pub(crate) const $constant: Metric =
            Metric { name: $name, kind: Kind::$kind, unit: Unit::$unit, about: $about };)+

        const ALL: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    CONSUMED = Counter "messaging.client.consumed.messages", Count, "Events received from the broker.";
    SENT = Counter "messaging.client.sent.messages", Count, "Events published to the retry stream.";
    PROCESS = Histogram "messaging.process.duration", Seconds, "How long a handler ran, each run.";
    EVENTS = Counter "ordered_consumer.events", Count, "Events of main streams, by what became of them.";
    FAILED = Counter "ordered_consumer.failed", Count, "Runs of handlers that failed.";
    RUNS = Counter "ordered_consumer.runs", Count, "Runs of logged events: retries, and releases.";
    RESOLVED = Counter "ordered_consumer.resolved", Count, "Logged events that were resolved, by how.";
    PARKED = Counter "ordered_consumer.parked", Count, "Times that an entity was parked, by cause.";
    MIRRORED = Counter "ordered_consumer.mirrored", Count, "Parked events published to the mirror, or refused by it.";
    CLAIMS_LOST = Counter "ordered_consumer.claims_lost", Count, "Results that did not count, because their claim was gone.";
    FENCED = Counter "ordered_consumer.fenced", Count, "Writes refused, because the stream was not this process's any more.";
    LIMITED = Counter "ordered_consumer.limited", Count, "Times that a stream waited for a limit on what is held.";
    STOPPED = Counter "ordered_consumer.stopped", Count, "Times that a stream stopped and waited for an operator.";
    WAITING = Gauge "ordered_consumer.waiting", Count, "1 while a stream that was added waits for the old ones.";
    OUTAGES = Counter "ordered_consumer.outages", Count, "Times that a stream paused for an outage.";
    BREAKER = Gauge "ordered_consumer.breaker.state", Count, "0: closed, 1: half-open, 2: open.";
    BLOCKED = Histogram "ordered_consumer.blocked.duration", Seconds, "How long the entity of a resolved event had not flowed freely.";
    BUFFERED_EVENTS = Gauge "ordered_consumer.buffered_events", Count, "Events received that are not done with.";
    BUFFERED_BYTES = Gauge "ordered_consumer.buffered_bytes", Bytes, "Bytes of events received that are not done with.";
    GATED = Gauge "ordered_consumer.gated_entities", Count, "Entities that do not flow freely.";
    PARKED_NOW = Gauge "ordered_consumer.parked_entities", Count, "Entities that wait for an operator.";
    HELD_EVENTS = Gauge "ordered_consumer.held_events", Count, "Events in the failure log.";
    HELD_BYTES = Gauge "ordered_consumer.held_bytes", Bytes, "Bytes of events in the failure log.";
    OLDEST_HELD = Gauge "ordered_consumer.oldest_held.age", Seconds, "For how long the longest gated entity has held events.";
    RELAY_LAG = Gauge "ordered_consumer.relay.lag", Seconds, "How late the relay's last look found what was due.";
    OBSERVED_RUNS = Counter "ordered_consumer.observed.runs", Count, "Runs of a handler that is only observed.";
    OBSERVED_FAILED = Counter "ordered_consumer.observed.failed", Count, "Those of them that failed.";
    OBSERVED_GATED = Counter "ordered_consumer.observed.gated", Count, "Times that an entity would have been gated.";
    OBSERVED_HELD = Counter "ordered_consumer.observed.held", Count, "Events that overtook, and would have been held.";
    OBSERVED_PARKED = Counter "ordered_consumer.observed.parked", Count, "Times that an entity would have been parked.";
    OBSERVED_GATE_TIME = Histogram "ordered_consumer.observed.gate.duration", Seconds, "How long an entity would have been gated.";
    HANDLER_STUCK = Counter "ordered_consumer.handler.blocking", Count, "Times that a handler was found to block its thread.";
    LOG_CALLS = Histogram "ordered_consumer.failure_log.duration", Seconds, "How long a call to the failure log took.";
    LOG_RETRIES = Counter "ordered_consumer.failure_log.retries", Count, "Calls to the failure log that were made again.";
}

/// Tells the recorder what each metric is.
pub(crate) fn describe() {
    for Metric { name, kind, unit, about } in ALL {
        match kind {
            Kind::Counter => metrics::describe_counter!(*name, *unit, *about),
            Kind::Gauge => metrics::describe_gauge!(*name, *unit, *about),
            Kind::Histogram => metrics::describe_histogram!(*name, *unit, *about),
        }
    }
}
