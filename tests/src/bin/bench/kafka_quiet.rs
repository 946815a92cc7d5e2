//! Events of clear entities from Kafka, against what people write without us.

use std::{
    collections::HashMap,
    hint::black_box,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use futures::StreamExt as _;
use ordered_consumer::{Event, Handler, HandlerError, Limits};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{CommitMode, Consumer as _, StreamConsumer},
    message::Headers,
};
use tokio::runtime::Runtime;

use crate::{
    arms::{self, Samples},
    kafka_rig::{self, Ours, Topic},
    meter::Meter,
    process_use::cpu_nanos_with_ended,
    report::{Report, Target},
    sizes::Sizes,
};

const NAME: &str = "kafka-quiet";
const ARMS: usize = 4;
const BARE: usize = 0;
const COUNTING: usize = 1;
const OURS: usize = 2;
const READING_HEADERS: usize = 3;
/// A bare loop commits so often, like ours.
const COMMIT_INTERVAL: Duration = Duration::from_secs(1);
/// Events between two looks at the clock.
const LOOK_EVERY: usize = 1_024;

/// Does nothing; the count tells when everything was handled.
struct Counted(Arc<Meter>);

impl Handler for Counted {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        black_box(&event);
        self.0.hit();
        Ok(())
    }
}

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = crate::rig::runtime()?;
    let topic = Topic::create(&runtime, "quiet")?;
    let entities = sizes.kafka.quiet_entities;
    kafka_rig::fill(&topic, (0..sizes.kafka.quiet_events).map(|number| number % entities))?;
    let mut rates: [Samples; ARMS] = Default::default();
    let mut cpu: [Samples; ARMS] = Default::default();
    arms::alternate::<ARMS, _>(
        sizes.rounds,
        |arm, _| {
            // The first fifth is the warm-up: partitions are assigned and taken over meanwhile.
            let events = sizes.kafka.quiet_events;
            let meter = Arc::new(Meter::new(events / 5, events));
            let before = cpu_nanos_with_ended();
            match arm {
                OURS => ours(&runtime, &topic, &meter)?,
                BARE => bare(&runtime, &topic, &meter, |consumer, meter| {
                    loop_that_commits(consumer, meter, false)
                })?,
                READING_HEADERS => bare(&runtime, &topic, &meter, |consumer, meter| {
                    loop_that_commits(consumer, meter, true)
                })?,
                _ => bare(&runtime, &topic, &meter, loop_that_counts)?,
            }
            Ok((meter.rate()?, (cpu_nanos_with_ended() - before) / events as f64))
        },
        |arm, (rate, spent)| {
            rates[arm].push(rate);
            cpu[arm].push(spent);
        },
    )?;
    let share = |of: usize| rates[OURS].paired(&rates[of], |ours, bare| ours / bare);
    report.add(NAME, "a bare loop, per second", "events", &rates[BARE], Target::None);
    report.add(NAME, "a loop that only counts, per second", "events", &rates[COUNTING], Target::None);
    let what = "a bare loop that asks for the headers, too, per second";
    report.add(NAME, what, "events", &rates[READING_HEADERS], Target::None);
    report.add(NAME, "consumer, per second", "events", &rates[OURS], Target::None);
    report.add(NAME, "consumer / the bare loop", "", &share(BARE), Target::AtLeast(0.9));
    report.add(NAME, "consumer / the loop that only counts", "", &share(COUNTING), Target::None);
    let headers = rates[READING_HEADERS].paired(&rates[BARE], |reading, bare| reading / bare);
    let what = "a bare loop that asks for the headers, too / the bare loop";
    report.add(NAME, what, "", &headers, Target::None);
    for (arm, what) in [
        (BARE, "a bare loop"),
        (COUNTING, "a loop that only counts"),
        (READING_HEADERS, "a bare loop that asks for the headers, too"),
        (OURS, "consumer"),
    ] {
        let what = format!("{what}, CPU time per event, joining included, all threads of this process");
        report.add(NAME, what, "ns", &cpu[arm], Target::None);
    }
    Ok(())
}

fn ours(runtime: &Runtime, topic: &Topic<'_>, meter: &Arc<Meter>) -> anyhow::Result<()> {
    let ours = Ours::new(runtime, Limits::default())?;
    ours.run(topic, Counted(Arc::clone(meter)), meter)
}

fn bare<Ran: Future<Output = anyhow::Result<()>> + Send + 'static>(
    runtime: &Runtime,
    topic: &Topic<'_>,
    meter: &Arc<Meter>,
    body: impl FnOnce(Arc<StreamConsumer>, Arc<Meter>) -> Ran,
) -> anyhow::Result<()> {
    let consumer = Arc::new(kafka_rig::bare(topic)?);
    crate::rig::in_time(runtime, body(Arc::clone(&consumer), Arc::clone(meter)))
}

/// Copies key and payload, hands them over, and commits what is done every second and at the end.
///
/// What asks for the headers finds none: that there are none is only known by asking.
async fn loop_that_commits(
    consumer: Arc<StreamConsumer>,
    meter: Arc<Meter>,
    reads_headers: bool,
) -> anyhow::Result<()> {
    let mut stream = consumer.stream();
    let mut done: HashMap<i32, i64> = HashMap::new();
    let (mut handled, mut committed) = (0_usize, Instant::now());
    let mut topic = String::new();
    loop {
        let message = stream.next().await.context("the stream has ended")??;
        black_box((message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec)));
        if reads_headers {
            black_box(message.headers().map(Headers::count));
        }
        let last = meter.hit();
        done.insert(message.partition(), message.offset() + 1);
        handled += 1;
        if last || handled.is_multiple_of(LOOK_EVERY) && committed.elapsed() >= COMMIT_INTERVAL {
            committed = Instant::now();
            if topic.is_empty() {
                message.topic().clone_into(&mut topic);
            }
            let mut offsets = TopicPartitionList::new();
            for (partition, next) in done.drain() {
                offsets.add_partition_offset(&topic, partition, Offset::Offset(next))?;
            }
            consumer.commit(&offsets, if last { CommitMode::Sync } else { CommitMode::Async })?;
        }
        if last {
            return Ok(());
        }
    }
}

/// Takes nothing out of what it receives.
async fn loop_that_counts(consumer: Arc<StreamConsumer>, meter: Arc<Meter>) -> anyhow::Result<()> {
    let mut stream = consumer.stream();
    loop {
        stream.next().await.context("the stream has ended")??;
        if meter.hit() {
            return Ok(());
        }
    }
}
