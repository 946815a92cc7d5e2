//! No key, header or payload in anything that is told, under the most talkative level.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::future_not_send,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ordered_consumer::{
    Event, Handler, HandlerError, Index, Limits, OrderedConsumer, TelemetryOptions, permanent,
};
use ordered_consumer_tests::{
    Running, World, eventually,
    world::{NAME, TOPIC, seconds},
};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

use crate::metrics_seen::Metrics;

/// Marks that nothing else can contain by chance.
const KEY: &str = "kqzjwkey";
const PAYLOAD: &str = "kqzjwpayload";
const HEADER: &str = "kqzjwheader";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Takes down every field of every event and span.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    fn add(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: Subscriber> Layer<S> for Told {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        let mut line = Line(format!("span {}", attributes.metadata().name()));
        attributes.record(&mut line);
        self.add(line.0);
    }

    fn on_record(&self, _: &Id, values: &Record<'_>, _: Context<'_, S>) {
        let mut line = Line("record".to_owned());
        values.record(&mut line);
        self.add(line.0);
    }

    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line(format!("event {}", event.metadata().target()));
        event.record(&mut line);
        self.add(line.0);
    }
}

/// Fails in every way, with errors that say nothing of their event.
struct Troubled;

impl Handler for Troubled {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let text = String::from_utf8_lossy(event.payload().unwrap()).into_owned();
        match (text.trim_start_matches(PAYLOAD), event.context().attempt) {
            ("a", 1) => Err("once".into()),
            ("p", _) => Err(permanent("for good")),
            ("i", _) => Err(ordered_consumer::ignore("of no interest")),
            ("d", 1) => panic!("a panic"),
            ("t", 1) => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

fn event(world: &World, number: u128, entity: &str, text: &str) -> Event {
    Event::builder(world.stream(0), Index::new(number), format!("{KEY}{entity}"))
        .id(format!("{KEY}-id-{number}"))
        .header(HEADER, HEADER)
        .header("traceparent", TRACE)
        .payload(format!("{PAYLOAD}{text}"))
        .build()
}

/// Everything that is told while events go through every transition.
async fn told(options: TelemetryOptions) -> (Vec<String>, String) {
    let metrics = Metrics::install();
    let lines = Told::default();
    let subscriber = tracing_subscriber::registry().with(lines.clone());
    let _default = tracing::subscriber::set_default(subscriber);
    let world = World::with(&[]);
    for text in ["a", "b", "p", "q", "i", "d", "t"] {
        let entity = format!("{KEY}{}", if text == "b" { "a" } else { text });
        world.broker.publish(TOPIC, entity, format!("{PAYLOAD}{text}")).unwrap();
    }
    // And one that no store could keep: its stream stops, and says so.
    let policy = seconds().attempts_max(3);
    let limits = Limits { payload_bytes_max: 100, ..Limits::default() };
    let consumer = OrderedConsumer::new(NAME, Troubled, world.log.clone())
        .with_retry_policy(policy.clone())
        .with_limits(limits.clone())
        .with_telemetry(options.clone());
    let running = Running::start(consumer, world.source());
    tokio::time::sleep(Duration::from_secs(200)).await;
    world.broker.redeliver(NAME, &world.stream(0), Index::MIN).unwrap();
    world.broker.publish(TOPIC, format!("{KEY}z"), format!("{PAYLOAD}{}", "z".repeat(200))).unwrap();
    eventually("the stream stops", || running.stats().stopped == 1).await;
    assert!(running.stats().resolved >= 3 && running.stats().parked >= 1, "{:?}", running.stats());
    running.stop().await;
    // An own loop, with headers.
    let own = OrderedConsumer::new("own", Troubled, world.log.clone())
        .with_retry_policy(policy)
        .with_limits(limits)
        .with_telemetry(options);
    for (number, text) in ["a", "b", "p", "i"].into_iter().enumerate() {
        own.process(event(&world, number as u128, "same", text)).await.unwrap();
    }
    let too_large = event(&world, 9, "large", &"z".repeat(200));
    let refused = own.process(too_large).await.unwrap_err();
    lines.add(format!("{refused} {refused:?}"));
    let all = lines.all();
    assert!(all.len() > 50, "the most talkative level tells much: {}", all.len());
    (all, format!("{:?}", metrics.taken().0))
}

#[tokio::test(start_paused = true)]
async fn no_key_header_or_payload_is_in_any_log_line_span_field_or_label() {
    let (lines, metrics) = told(TelemetryOptions::default()).await;
    for mark in [KEY, PAYLOAD, HEADER] {
        let telling: Vec<_> = lines.iter().filter(|line| line.contains(mark)).collect();
        assert!(telling.is_empty(), "{telling:#?}");
        assert!(!metrics.contains(mark), "{metrics}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_span_tells_its_entity_only_when_asked_and_its_trace_context_always() {
    let (lines, metrics) = told(TelemetryOptions::default().entities(true)).await;
    assert!(
        lines.iter().any(|line| line.contains("ordered_consumer.entity") && line.contains(KEY)),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|line| line.starts_with("span process") && line.contains(TRACE)));
    assert!(
        lines.iter().any(|line| line.starts_with("record") && line.contains("otel.status_code=\"ERROR\""))
    );
    let payloads = lines.iter().filter(|line| line.contains(PAYLOAD) || line.contains(HEADER)).count();
    assert_eq!((payloads, metrics.contains(KEY)), (0, false), "nothing else was asked for");
}
