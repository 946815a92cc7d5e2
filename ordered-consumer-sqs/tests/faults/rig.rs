//! A consumer over a fake queue, what its handlers did, and everything that is logged meanwhile.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use ordered_consumer::{Event, FailureLog, Handler, HandlerError, OrderedConsumer, RetryPolicy, RunError};
use ordered_consumer_sqs::{SqsSource, SqsSourceBuilder};
use tokio::time::sleep;
use tracing::{
    Subscriber,
    field::{Field, Visit},
    subscriber::DefaultGuard,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

use crate::fake_sqs::{FakeSqs, SECRETS};

/// How long others wait for what somebody has received.
pub(crate) const VISIBILITY: Duration = Duration::from_secs(30);

/// What handlers have done: every event that one began with, in their order, as `group body`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ran(Arc<Mutex<Vec<String>>>);

impl Ran {
    pub(crate) fn add(&self, event: &Event) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = format!("{} {}", text(event.entity()), text(event.payload().unwrap()));
        self.0.lock().unwrap().push(line);
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// A handler that takes down what it begins with, and fails where it is told to.
pub(crate) fn handler(
    ran: &Ran,
    fails: impl Fn(&Event) -> bool + Clone + Send + Sync + 'static,
) -> impl Handler {
    let ran = ran.clone();
    move |event: Event| {
        ran.add(&event);
        let fails = fails(&event);
        async move { if fails { Err(HandlerError::from(std::io::Error::other("on purpose"))) } else { Ok(()) } }
    }
}

pub(crate) fn consumer<H: Handler>(handler: H, log: impl FailureLog + 'static) -> OrderedConsumer<H> {
    let policy = RetryPolicy::exponential(Duration::from_secs(1), 2.0).immediate(0);
    OrderedConsumer::new("billing", handler, log).with_retry_policy(policy)
}

pub(crate) fn builder(sqs: &FakeSqs, url: &str) -> SqsSourceBuilder {
    SqsSource::builder(sqs.client(), url).handler_timeout(VISIBILITY)
}

/// Runs until it is so, by tokio's clock, for so long at most.
pub(crate) async fn run_until<H: Handler>(
    consumer: &OrderedConsumer<H>,
    source: SqsSource,
    within: Duration,
    mut so: impl FnMut() -> bool + Send,
) -> Result<(), RunError> {
    let reached = async {
        while !so() {
            sleep((within / 20_000).max(Duration::from_millis(20))).await;
        }
    };
    let mut late = false;
    let until = async {
        late = tokio::time::timeout(within, reached).await.is_err();
    };
    let ended = consumer.run_until(source, until).await;
    assert!(!late, "waited in vain for {within:?}");
    ended
}

/// Everything that this product logs on this thread, at whatever level.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<String>>>);

impl Told {
    /// Begins to listen.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        let told = Self::default();
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(told.clone()));
        (told, guard)
    }

    pub(crate) fn all(&self) -> String {
        let text = self.0.lock().unwrap().join("\n");
        for secret in SECRETS {
            assert!(!text.contains(secret), "credentials are logged: {text}");
        }
        text
    }

    /// How many lines say so.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.all().lines().filter(|line| line.contains(what)).count()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target().starts_with("ordered_consumer") {
            let mut line = Line(event.metadata().level().to_string());
            event.record(&mut line);
            self.0.lock().unwrap().push(line.0);
        }
    }
}
