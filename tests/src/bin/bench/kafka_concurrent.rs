//! Handlers that wait, with keys drawn by a Zipf law, against handling one event after the other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::StreamExt as _;
use ordered_consumer::{Event, Handler, HandlerError, Limits};
use rdkafka::{
    Message as _,
    consumer::{CommitMode, Consumer as _},
};
use tokio::runtime::Runtime;

use crate::{
    arms::{self, Samples},
    kafka_rig::{self, Ours, Topic},
    meter::Meter,
    report::{Report, Target},
    sizes::Sizes,
    zipf::Zipf,
};

const NAME: &str = "kafka-concurrent";
const ARMS: usize = 3;
const SEQUENTIAL: usize = 0;
const FLAT: usize = 1;
const STEEP: usize = 2;
/// What the handler waits for.
const WAIT: Duration = Duration::from_millis(1);
/// Handlers that run at once, at most.
const RUNNING_MAX: usize = 1_000;

/// Waits a millisecond, and adds up how long that took: a timer ends late rather than early.
struct Waiting {
    meter: Arc<Meter>,
    waited_nanos: Arc<AtomicU64>,
}

impl Waiting {
    async fn wait(&self) {
        let begun = Instant::now();
        tokio::time::sleep(WAIT).await;
        let nanos = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.waited_nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Handler for Waiting {
    async fn handle(&self, _: Event) -> Result<(), HandlerError> {
        self.wait().await;
        self.meter.hit();
        Ok(())
    }
}

/// A topic with its keys drawn by a law.
struct Drawn<'a> {
    topic: Topic<'a>,
    events: usize,
    /// Events of the key that has most.
    hottest: usize,
}

impl<'a> Drawn<'a> {
    fn fill(runtime: &'a Runtime, what: &str, s: f64, events: usize) -> anyhow::Result<Self> {
        const KEYS: usize = 10_000;
        let topic = Topic::create(runtime, what)?;
        let (mut zipf, mut counts) = (Zipf::new(KEYS, s, 1), vec![0; KEYS]);
        let drawn = std::iter::repeat_with(|| {
            let key = zipf.draw();
            counts[key] += 1;
            key
        });
        kafka_rig::fill(&topic, drawn.take(events))?;
        let hottest = counts.into_iter().max().unwrap_or_default();
        Ok(Self { topic, events, hottest })
    }
}

/// What one round of an arm came to.
struct Round {
    /// Wall time per event, in seconds.
    each: f64,
    /// How long one wait took on average, in seconds.
    wait: f64,
}

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = crate::rig::runtime()?;
    let flat = Drawn::fill(&runtime, "flat", 0.5, sizes.kafka.flat_events)?;
    let steep = Drawn::fill(&runtime, "steep", 1.0, sizes.kafka.steep_events)?;
    let mut each: [Samples; ARMS] = Default::default();
    let mut wait: [Samples; ARMS] = Default::default();
    arms::alternate::<ARMS, _>(
        sizes.rounds,
        |arm, _| match arm {
            SEQUENTIAL => sequential(&runtime, &flat.topic, sizes.kafka.sequential_events),
            FLAT => ours(&runtime, &flat),
            _ => ours(&runtime, &steep),
        },
        |arm, round| {
            each[arm].push(round.each);
            wait[arm].push(round.wait);
        },
    )?;
    let per_second = |arm: usize| each[arm].paired(&each[arm], |each, _| 1.0 / each);
    let times = |arm: usize| each[SEQUENTIAL].paired(&each[arm], |bare, ours| bare / ours);
    let micros = |arm: usize| wait[arm].paired(&wait[arm], |wait, _| wait * 1e6);
    // The hottest key's events run one after the other: however many others run beside them, it takes that long.
    let share = steep.hottest as f64 / steep.events as f64;
    let of_bound = |arm: usize| wait[arm].paired(&each[STEEP], |wait, each| share * wait / each);
    let sequential = "one after the other, per second";
    report.add(NAME, sequential, "events", &per_second(SEQUENTIAL), Target::None);
    report.add(NAME, "one wait of 1 ms takes, one after the other", "us", &micros(SEQUENTIAL), Target::None);
    report.add(NAME, "s = 0.5: consumer, per second", "events", &per_second(FLAT), Target::None);
    report.add(NAME, "s = 0.5: one wait takes", "us", &micros(FLAT), Target::None);
    report.add(
        NAME,
        "s = 0.5: times as fast as one after the other",
        "",
        &times(FLAT),
        Target::AtLeast(50.0),
    );
    report.add(NAME, "s = 1: consumer, per second", "events", &per_second(STEEP), Target::None);
    report.add(NAME, "s = 1: one wait takes", "us", &micros(STEEP), Target::None);
    report.add(NAME, "s = 1: times as fast as one after the other", "", &times(STEEP), Target::None);
    let what = "s = 1: share of the bound that the hottest key sets, by the wait one after the other";
    report.add(NAME, what, "", &of_bound(SEQUENTIAL), Target::AtLeast(0.9));
    let what = "s = 1: share of the same bound, by the wait in that run";
    report.add(NAME, what, "", &of_bound(STEEP), Target::None);
    Ok(())
}

fn ours(runtime: &Runtime, drawn: &Drawn<'_>) -> anyhow::Result<Round> {
    let (meter, waited_nanos) = (Arc::new(Meter::new(1, drawn.events)), Arc::default());
    let handler = Waiting { meter: Arc::clone(&meter), waited_nanos: Arc::clone(&waited_nanos) };
    let ours = Ours::new(runtime, Limits { running_max: RUNNING_MAX, ..Limits::default() })?;
    ours.run(&drawn.topic, handler, &meter)?;
    round(&meter, &waited_nanos)
}

fn round(meter: &Meter, waited_nanos: &AtomicU64) -> anyhow::Result<Round> {
    let nanos = waited_nanos.load(Ordering::Relaxed) as f64;
    let each = meter.elapsed()?.as_secs_f64() / meter.events();
    Ok(Round { each, wait: nanos / 1e9 / (meter.events() + 1.0) })
}

/// The first so many events of the topic in a bare loop; what is left would take minutes, and tell nothing more.
fn sequential(runtime: &Runtime, topic: &Topic<'_>, events: usize) -> anyhow::Result<Round> {
    let (meter, waited_nanos) = (Arc::new(Meter::new(1, events)), Arc::default());
    let handler = Waiting { meter: Arc::clone(&meter), waited_nanos: Arc::clone(&waited_nanos) };
    let consumer = kafka_rig::bare(topic)?;
    let handled = AtomicUsize::new(0);
    crate::rig::in_time(runtime, async move {
        let mut stream = consumer.stream();
        loop {
            let message = stream.next().await.context("the stream has ended")??;
            std::hint::black_box((message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec)));
            handler.wait().await;
            let last = handler.meter.hit();
            if last || handled.fetch_add(1, Ordering::Relaxed).is_multiple_of(500) {
                consumer.commit_message(&message, CommitMode::Async)?;
            }
            if last {
                return Ok(());
            }
        }
    })?;
    round(&meter, &waited_nanos)
}
