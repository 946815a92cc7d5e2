//! Spans around handlers' runs and around publishing, and a line for what became of an event.

use std::fmt;

use tracing::{Span, field};

use super::Telemetry;
use crate::{ConsumerName, Event, HandlerError, Outcome, StreamName, display_safe};

/// The longest part of an entity's key that a span shows, in bytes.
const ENTITY_SHOWN_MAX: usize = 64;

/// The span of one run; nothing, without a cost, when no subscriber wants it.
// Boxed, so that the quiet path's future stays small.
#[derive(Default)]
pub(crate) struct RunSpan(Option<Box<Span>>);

impl RunSpan {
    /// Enters it for as long as a poll takes.
    pub(crate) fn enter(&self) -> Option<tracing::span::Entered<'_>> {
        self.0.as_deref().map(Span::enter)
    }

    pub(crate) fn failed(&self, error: &HandlerError) {
        if let Some(span) = &self.0 {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", error.class());
        }
    }
}

/// What runs.
pub(crate) struct Running<'a> {
    pub(crate) event: &'a Event,
    /// Whether it comes from the failure log.
    pub(crate) from_log: bool,
}

impl Telemetry {
    /// The span of a call to the publisher.
    pub(crate) fn publish_span(&self, stream: &StreamName, events: usize) -> tracing::Span {
        tracing::info_span!(
            target: "ordered_consumer::publish",
            "publish",
            otel.kind = "producer",
            error.r#type = field::Empty,
            messaging.system = &*self.options.system,
            messaging.operation.name = "publish",
            messaging.operation.r#type = "send",
            messaging.batch.message_count = events,
            messaging.consumer.group.name = %self.consumer,
            messaging.destination.name = %stream,
        )
    }

    /// The span of a run that is about to begin.
    pub(crate) fn span(&self, running: &Running<'_>) -> RunSpan {
        let Running { event, from_log } = *running;
        let span = tracing::info_span!(
            target: "ordered_consumer::process",
            "process",
            otel.name = %OtelName(event),
            otel.kind = "consumer",
            otel.status_code = field::Empty,
            error.r#type = field::Empty,
            messaging.system = &*self.options.system,
            messaging.operation.name = "process",
            messaging.operation.r#type = "process",
            messaging.consumer.group.name = %self.consumer,
            messaging.destination.name = %event.stream(),
            ordered_consumer.index = %event.index(),
            ordered_consumer.attempt = event.context().attempt,
            ordered_consumer.from_log = from_log,
            ordered_consumer.entity = field::Empty,
            traceparent = traceparent(event),
        );
        if span.is_disabled() {
            return RunSpan::default();
        }
        if self.options.entities {
            span.record("ordered_consumer.entity", shown(event.entity()));
        }
        RunSpan(Some(Box::new(span)))
    }
}

/// A line for what became of an event that was not simply handled. A healthy one costs nothing and says nothing.
pub(crate) fn became(consumer: &ConsumerName, event: &Event, outcome: &Outcome) {
    if !matches!(outcome, Outcome::Handled) {
        tracing::debug!(%consumer, %event, outcome = outcome.as_str(), "the event is done with");
    }
}

/// OpenTelemetry's name of the span: the operation, and the stream.
struct OtelName<'a>(&'a Event);

impl fmt::Display for OtelName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.0.stream())
    }
}

/// The producer's trace context, if the event carries one of the form that W3C gives it: what has not is not shown,
/// because a header may hold anything.
fn traceparent(event: &Event) -> Option<&str> {
    let value = std::str::from_utf8(event.headers().get("traceparent")?).ok()?;
    let mut lengths = [2, 32, 16, 2].into_iter();
    let is_hex = |part: &str| part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_sound = value.split('-').all(|part| lengths.next() == Some(part.len()) && is_hex(part));
    (is_sound && lengths.next().is_none()).then_some(value)
}

fn shown(entity: &[u8]) -> String {
    let text = String::from_utf8_lossy(&entity[..entity.len().min(ENTITY_SHOWN_MAX)]);
    let cut = if entity.len() > ENTITY_SHOWN_MAX { "…" } else { "" };
    format!("{}{cut}", display_safe(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Index, StreamName};

    fn with(header: &'static str) -> Event {
        let stream = StreamName::new("orders/0").unwrap();
        Event::builder(stream, Index::new(1), "e").header("traceparent", header).build()
    }

    #[test]
    fn a_trace_context_is_shown_only_when_it_is_one() {
        let sound = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&with(sound)), Some(sound));
        let (longer, shouting) = (
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-secret",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        );
        for other in ["", "secret", "00-secret-00f067aa0ba902b7-01", longer, shouting] {
            assert_eq!(traceparent(&with(other)), None, "{other}");
        }
    }

    #[test]
    fn an_entity_that_is_asked_for_is_cut_and_escaped() {
        assert_eq!(shown(b"a\x1b[2J"), r"a\u{1b}[2J");
        assert_eq!(shown(&[b'x'; 100]), format!("{}…", "x".repeat(64)));
    }
}
