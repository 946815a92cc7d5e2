//! Holding events of gated entities into SQLite, durably.

use std::ops::Range;

use anyhow::Context as _;
use ordered_consumer::{
    BATCH_REQUESTS_MAX, ConsumerName, FailureLog, OrderedConsumer, SqliteFailureLog,
    in_memory_broker::InMemoryBroker,
};
use tokio::{runtime::Runtime, time::Instant};

use crate::{
    arms::{self, Samples},
    report::{Report, Target},
    rig::{self, BATCH, Nothing},
    seed,
    sizes::Sizes,
};

const NAME: &str = "hold-sqlite";
/// Past every index at which an entity's head has failed.
const FIRST: u128 = 1_000_000_000;
const STORE: usize = 0;
const CONSUMER: usize = 1;

/// Every entity's head has failed and is parked; everything that comes is held.
pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let broker = rig::filled(FIRST, sizes.hold_events, sizes.hold_entities, "gated")?;
    let mut rates: [Samples; 2] = Default::default();
    arms::alternate::<2, _>(
        sizes.rounds,
        |arm, round| {
            // A file of its own for every round, so that none begins with what another has held.
            let directory = tempfile::tempdir()?;
            let log = runtime.block_on(SqliteFailureLog::open(directory.path().join("failures.db")))?;
            runtime.block_on(seed::parked(&log, &ConsumerName::new("bench")?, sizes.hold_entities))?;
            if arm == STORE {
                runtime.block_on(store_alone(&log, sizes))
            } else {
                through_consumer(&runtime, &broker, log, sizes, round)
            }
        },
        |arm, rate| rates[arm].push(rate),
    )?;
    let ratio = rates[CONSUMER].paired(&rates[STORE], |consumer, store| consumer / store);
    report.add(
        NAME,
        "consumer, held durably per second",
        "events",
        &rates[CONSUMER],
        Target::AtLeast(10_000.0),
    );
    report.add(NAME, "the store alone, batches of 500", "events", &rates[STORE], Target::None);
    report.add(NAME, "consumer / store alone", "", &ratio, Target::None);
    Ok(())
}

fn through_consumer(
    runtime: &Runtime,
    broker: &InMemoryBroker,
    log: SqliteFailureLog,
    sizes: &Sizes,
    round: usize,
) -> anyhow::Result<f64> {
    let last = FIRST + (sizes.hold_events + BATCH - 1) as u128;
    let (source, slot) = rig::subscribe(broker, &format!("hold-{round}"), last)?;
    let counted = log.clone();
    let timed = rig::run(runtime, OrderedConsumer::new("bench", Nothing, log), source, &slot)?;
    let totals = runtime.block_on(counted.totals(&ConsumerName::new("bench")?))?;
    let expected = sizes.hold_events + BATCH + sizes.hold_entities;
    anyhow::ensure!(
        totals.held_events == expected as u64,
        "{} events are held, not {expected}",
        totals.held_events
    );
    Ok(sizes.hold_events as f64 * 1e9 / timed.wall_nanos)
}

/// What the store takes when nothing is in its way: one event each of many entities in a batch.
async fn store_alone(log: &SqliteFailureLog, sizes: &Sizes) -> anyhow::Result<f64> {
    let consumer = ConsumerName::new("bench")?;
    let started = Instant::now();
    let mut numbers: Range<usize> = 0..sizes.hold_events;
    loop {
        let batch = numbers.by_ref().take(BATCH_REQUESTS_MAX.min(sizes.hold_entities)).map(|number| {
            let index = FIRST + number as u128;
            seed::arrived(rig::entity("gated", number % sizes.hold_entities), index..index + 1)
        });
        let batch = batch.collect::<anyhow::Result<Vec<_>>>().context("the batch")?;
        if batch.is_empty() {
            return Ok(sizes.hold_events as f64 / started.elapsed().as_secs_f64());
        }
        log.apply(&consumer, &seed::settings(), &batch).await?;
    }
}
