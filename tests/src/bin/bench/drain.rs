//! Draining many entities in-process, from SQLite.

use std::time::Duration;

use ordered_consumer::{
    ConsumerName, FailureLog, Index, OrderedConsumer, Request, SqliteFailureLog,
    gate::{ClaimToken, Guard, Input, Next, Reply, Resolved},
    in_memory_broker::InMemoryBroker,
};
use tokio::time::{Instant, sleep};

use crate::{
    arms::{self, Samples},
    report::{Report, Target},
    rig::{self, Nothing},
    seed,
    sizes::Sizes,
};

const NAME: &str = "drain-inprocess";
/// As many retries as a consumer runs at the same time unless told otherwise.
const RUNNING: u32 = 100;
const STORE: usize = 0;
const CONSUMER: usize = 1;

/// Every entity's head is due, with events held behind it.
pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let events = sizes.drain_entities * sizes.drain_events_each;
    let mut rates: [Samples; 2] = Default::default();
    arms::alternate::<2, _>(
        sizes.rounds,
        |arm, _| {
            let directory = tempfile::tempdir()?;
            let log = runtime.block_on(SqliteFailureLog::open(directory.path().join("failures.db")))?;
            runtime.block_on(due(&log, sizes))?;
            let started = Instant::now();
            if arm == STORE {
                runtime.block_on(store_alone(&log, events))?;
            } else {
                runtime.block_on(runtime.spawn(through_consumer(log, events)))??;
            }
            Ok(events as f64 / started.elapsed().as_secs_f64())
        },
        |arm, rate| rates[arm].push(rate),
    )?;
    let ratio = rates[CONSUMER].paired(&rates[STORE], |consumer, store| consumer / store);
    report.add(NAME, "consumer, resolved per second", "events", &rates[CONSUMER], Target::AtLeast(5_000.0));
    report.add(NAME, "the store alone, 100 entities in lock-step", "events", &rates[STORE], Target::None);
    report.add(NAME, "consumer / store alone", "", &ratio, Target::None);
    Ok(())
}

async fn due(log: &SqliteFailureLog, sizes: &Sizes) -> anyhow::Result<()> {
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

async fn through_consumer(log: SqliteFailureLog, events: usize) -> anyhow::Result<()> {
    let broker = InMemoryBroker::new();
    broker.create_topic(rig::TOPIC, 1)?;
    let consumer = OrderedConsumer::new("bench", Nothing, log);
    let done = async {
        while consumer.stats().resolved < events as u64 {
            sleep(Duration::from_millis(1)).await;
        }
    };
    Ok(consumer.run_until(broker.subscribe("drain", &[rig::TOPIC])?, done).await?)
}

/// The same calls without handlers or an engine: a batch of claims, then batches of results that claim what is next.
async fn store_alone(log: &SqliteFailureLog, events: usize) -> anyhow::Result<()> {
    let (consumer, settings) = (ConsumerName::new("bench")?, seed::settings());
    let (mut resolved, mut token) = (0, 0_u128);
    while resolved < events {
        let due = log.take_due(&consumer, &settings, RUNNING).await?;
        anyhow::ensure!(!due.taken.is_empty(), "nothing is due after {resolved} of {events}");
        let mut running = Vec::new();
        let mut requests = Vec::new();
        for taken in due.taken {
            token += 1;
            let (index, attempts): (Index, u32) = (taken.taken.head, taken.taken.attempts);
            let input = Input::Claim { index, attempts, token: ClaimToken::new(token) };
            requests.push(Request { key: taken.key.clone(), guard: Guard::Unguarded, input });
            running.push((taken.key, ClaimToken::new(token)));
        }
        log.apply(&consumer, &settings, &requests).await?;
        while !running.is_empty() {
            let mut tokens = Vec::new();
            let requests: Vec<Request> = running
                .iter()
                .map(|(key, held)| {
                    token += 1;
                    tokens.push(ClaimToken::new(token));
                    let next = Some(ClaimToken::new(token));
                    let input = Input::Resolve { token: *held, in_process: true, next, ignored: None };
                    Request { key: key.clone(), guard: Guard::Unguarded, input }
                })
                .collect();
            let answers = log.apply(&consumer, &settings, &requests).await?.answers;
            resolved += answers.len();
            let claimed = |reply: &Reply| matches!(reply, Reply::Resolved(Resolved { next: Some(_), .. }));
            running = running
                .into_iter()
                .zip(tokens)
                .zip(&answers)
                .filter(|(_, answer)| claimed(&answer.reply))
                .map(|(((key, _), token), _)| (key, token))
                .collect();
        }
    }
    Ok(())
}
