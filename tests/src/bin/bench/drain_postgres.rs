//! Draining many entities in-process from PostgreSQL, by two consumers with a relay each, as two processes have.

use std::time::Duration;

use ordered_consumer::{
    ConsumerName, FailureLog as _, OrderedConsumer, PostgresFailureLog, gate::Next,
    in_memory_broker::InMemoryBroker,
};
use ordered_consumer_tests::postgres::TestSchema;
use tokio::{task::JoinSet, time::Instant, time::sleep};

use crate::{
    arms::{self, Samples},
    report::{Report, Target},
    rig::{self, Nothing},
    seed,
    sizes::Sizes,
};

const NAME: &str = "drain-postgres";
const ONE: usize = 0;
const TWO: usize = 1;

/// Every entity's head is due, with events held behind it.
pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let events = sizes.drain_entities * sizes.drain_events_each;
    let mut rates: [Samples; 2] = Default::default();
    let mut statements = Samples::default();
    arms::alternate::<2, _>(
        sizes.rounds,
        |arm, _| {
            let schema = TestSchema::new();
            let log = runtime.block_on(schema.builder().connect())?;
            runtime.block_on(due(&log, sizes))?;
            let (consumers, before) = (arm + 1, log.statements());
            let started = Instant::now();
            runtime.block_on(drain(&schema, &log, consumers))?;
            let rate = events as f64 / started.elapsed().as_secs_f64();
            Ok((rate, (log.statements() - before) as f64 * 1_000.0 / events as f64))
        },
        |arm, (rate, spent)| {
            rates[arm].push(rate);
            if arm == ONE {
                statements.push(spent);
            }
        },
    )?;
    let target = Target::AtLeast(10_000.0);
    report.add(NAME, "two consumers, resolved per second", "events", &rates[TWO], target);
    report.add(NAME, "one consumer, resolved per second", "events", &rates[ONE], Target::None);
    report.add(NAME, "one consumer, statements per 1,000 drained", "", &statements, Target::None);
    Ok(())
}

async fn due(log: &PostgresFailureLog, sizes: &Sizes) -> anyhow::Result<()> {
    let consumer = ConsumerName::new("bench")?;
    let entities = || (0..sizes.drain_entities).map(|number| (rig::entity("due", number), number as u128));
    let each = sizes.drain_events_each as u128;
    let now = Next::Retry(Duration::ZERO);
    let failed = entities().map(|(entity, number)| seed::failed(entity, number * each, now));
    seed::apply_all(log, &consumer, failed).await?;
    let held =
        entities().map(|(entity, number)| seed::arrived(entity, number * each + 1..(number + 1) * each));
    seed::apply_all(log, &consumer, held).await
}

/// The first consumer has the log whose statements are counted, the others logs of their own, as other processes have.
async fn drain(schema: &TestSchema, log: &PostgresFailureLog, consumers: usize) -> anyhow::Result<()> {
    let mut running = JoinSet::new();
    for number in 0..consumers {
        let own = if number == 0 { log.clone() } else { schema.builder().connect().await? };
        running.spawn(async move {
            let broker = InMemoryBroker::new();
            broker.create_topic(rig::TOPIC, 1)?;
            let consumer = OrderedConsumer::new("bench", Nothing, own.clone());
            let name = ConsumerName::new("bench")?;
            let done = async {
                // Asked seldom: the question is about the whole table.
                while !matches!(own.totals(&name).await, Ok(totals) if totals.held_events == 0) {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            let source = broker.subscribe(&format!("drain-{number}"), &[rig::TOPIC])?;
            anyhow::Ok(consumer.run_until(source, done).await?)
        });
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
