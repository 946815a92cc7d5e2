//! One entity with very many held events: its drain, memory, and what others notice.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    ConsumerName, Event, FailureLog, Handler, HandlerError, OrderedConsumer, SqliteFailureLog, Timeouts,
    gate::Next,
    in_memory_broker::{InMemoryBroker, TopicOptions},
};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use crate::{
    arms::Samples,
    others::Others,
    process_use::resident_bytes,
    report::{Report, Target},
    rig, seed,
    sizes::Sizes,
};

const NAME: &str = "hot-entity";
const HOT: &str = "hot";
const MIB: f64 = 1_048_576.0;
/// What memory may grow by while the hot entity drains: a small part of what its held events take.
const GROWTH_MIB_MAX: f64 = 16.0;
/// Others' latency while it drains, against while it rests.
const LATENCY_RATIO_MAX: f64 = 1.5;

/// The hot entity's runs wait for permits, so that its drain can rest; the others' latency is recorded.
struct Watching {
    permits: Semaphore,
    others: Others,
}

impl Handler for Watching {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        if event.entity().as_ref() == HOT.as_bytes() {
            self.permits.acquire().await?.forget();
            return Ok(());
        }
        self.others.arrived(&event)
    }
}

#[derive(Default)]
struct Found {
    rate: Samples,
    growth_mib: Samples,
    resting: [Samples; 2],
    draining: [Samples; 2],
    /// While something else commits to another file, without an engine.
    committing: [Samples; 2],
}

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let directory = tempfile::tempdir()?;
    let log = runtime.block_on(SqliteFailureLog::open(directory.path().join("failures.db")))?;
    runtime.block_on(held(&log, sizes.hot_events))?;
    let other = runtime.block_on(SqliteFailureLog::open(directory.path().join("other.db")))?;
    let sizes = (sizes.rounds, sizes.hot_events, sizes.hot_rest, sizes.hot_others_per_second);
    let found = runtime.block_on(runtime.spawn(alternate(log, other, sizes)))??;
    report.add(NAME, "its events resolved per second, one commit each", "events", &found.rate, Target::None);
    let growth = Target::AtMost(GROWTH_MIB_MAX);
    report.add(NAME, "memory above what it was before the drain", "MiB", &found.growth_mib, growth);
    for (place, quantile) in ["p50", "p99"].into_iter().enumerate() {
        let [resting, draining, committing] =
            [&found.resting, &found.draining, &found.committing].map(|found| &found[place]);
        let mut add = |what: &str, unit, samples: &Samples, target| {
            report.add(NAME, format!("others' {quantile} latency {what}"), unit, samples, target);
        };
        add("while it rests", "us", resting, Target::None);
        add("while it drains", "us", draining, Target::None);
        add("while another file is written to, without an engine", "us", committing, Target::None);
        let ratio = |one: &Samples, other: &Samples| one.paired(other, |one, other| one / other);
        add("draining / resting", "", &ratio(draining, resting), Target::AtMost(LATENCY_RATIO_MAX));
        add("draining / writing without an engine", "", &ratio(draining, committing), Target::None);
    }
    Ok(())
}

/// The hot entity's head is due; everything behind it is held.
async fn held(log: &SqliteFailureLog, events: usize) -> anyhow::Result<()> {
    let consumer = ConsumerName::new("bench")?;
    let failed = std::iter::once(seed::failed(HOT.to_owned(), 0, Next::Retry(Duration::ZERO)));
    seed::apply_all(log, &consumer, failed).await?;
    let mut from = 1;
    while from < events as u128 {
        let through = (from + 500).min(events as u128);
        let held = std::iter::once(seed::arrived(HOT.to_owned(), from..through));
        seed::apply_all(log, &consumer, held).await?;
        from = through;
    }
    Ok(())
}

async fn alternate(
    log: SqliteFailureLog,
    other: SqliteFailureLog,
    (rounds, events, rest, per_second): (usize, usize, Duration, u32),
) -> anyhow::Result<Found> {
    let broker = InMemoryBroker::new();
    let stream = rig::stream()?;
    // What is settled is dropped, lest the topic's growth be taken for the drain's.
    let options = TopicOptions { drop_settled: true, ..TopicOptions::default() };
    broker.create_topic_with(rig::TOPIC, options)?;
    anyhow::ensure!(stream.as_str() == "events/0", "the topic's only stream");
    let watching = Arc::new(Watching { permits: Semaphore::new(0), others: Others::new()? });
    let timeouts = Timeouts { handler: Duration::from_secs(3_600), ..Timeouts::default() };
    let consumer = OrderedConsumer::new("bench", Arc::clone(&watching), log).with_timeouts(timeouts);
    let mut found = Found::default();
    let phases = async {
        // Until everything is warm.
        sleep(rest).await;
        let (mut resolved, each) = (0, events / rounds);
        let before = resident_bytes();
        for _ in 0..rounds {
            watching.others.latency();
            sleep(rest).await;
            record(&mut found.resting, watching.others.latency());
            let started = Instant::now();
            watching.permits.add_permits(each);
            resolved += each as u64;
            let mut highest = before;
            while consumer.stats().resolved < resolved {
                sleep(Duration::from_millis(20)).await;
                highest = highest.max(resident_bytes());
            }
            found.rate.push(each as f64 / started.elapsed().as_secs_f64());
            found.growth_mib.push((highest - before) / MIB);
            record(&mut found.draining, watching.others.latency());
            commit_elsewhere(&other, rest).await?;
            record(&mut found.committing, watching.others.latency());
        }
        // The next run waits for a permit; it may have it, so that the end need not wait for it.
        watching.permits.add_permits(1);
        Ok(())
    };
    let publishing = watching.others.publish(&broker, per_second);
    let source = broker.subscribe("hot", &[rig::TOPIC])?;
    let done = async {
        tokio::select! { ended = phases => ended, failed = publishing => failed }
    };
    let (told, shutdown) = tokio::sync::oneshot::channel::<()>();
    let (ran, done) = tokio::join!(consumer.run_until(source, async { drop(shutdown.await) }), async {
        let done = done.await;
        drop(told);
        done
    });
    ran?;
    done?;
    Ok(found)
}

/// What the machine alone costs others: as many commits as fit into this time, to a file that no consumer knows.
async fn commit_elsewhere(log: &SqliteFailureLog, lasts: Duration) -> anyhow::Result<()> {
    let (consumer, started) = (ConsumerName::new("bench")?, Instant::now());
    while started.elapsed() < lasts {
        let index = started.elapsed().as_nanos();
        let failed =
            seed::failed(rig::entity("elsewhere", 0), index, Next::Retry(Duration::from_secs(3_600)))?;
        log.apply(&consumer, &seed::settings(), &[failed]).await?;
    }
    Ok(())
}

fn record(samples: &mut [Samples; 2], (p50, p99): (f64, f64)) {
    samples[0].push(p50);
    samples[1].push(p99);
}
