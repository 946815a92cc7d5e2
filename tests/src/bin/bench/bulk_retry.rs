//! Very many parked entities retried by one call, and what other entities notice of it.

use std::{pin::pin, sync::Arc, time::Duration};

use ordered_consumer::{
    ConsumerName, Event, GateQuery, Handler, HandlerError, Operator, OrderedConsumer, Pace, RetryAllEnd,
    SqliteFailureLog,
    in_memory_broker::{InMemoryBroker, TopicOptions},
};
use tokio::time::{Instant, sleep, timeout};

use crate::{
    arms::Samples,
    others::Others,
    report::{Report, Target},
    rig, seed,
    sizes::Sizes,
};

const NAME: &str = "bulk-retry";
/// Others' latency while entities are retried, against while none is.
const LATENCY_RATIO_MAX: f64 = 1.5;

struct Watching(Others);

impl Handler for Watching {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        if event.entity().starts_with(b"other") { self.0.arrived(&event) } else { Ok(()) }
    }
}

#[derive(Default)]
struct Found {
    rate: Samples,
    resting: [Samples; 2],
    retrying: [Samples; 2],
}

pub(crate) fn measure(sizes: &Sizes, report: &mut Report) -> anyhow::Result<()> {
    let runtime = rig::runtime()?;
    let directory = tempfile::tempdir()?;
    let log = runtime.block_on(SqliteFailureLog::open(directory.path().join("failures.db")))?;
    let consumer = ConsumerName::new("bench")?;
    runtime.block_on(seed::parked(&log, &consumer, sizes.bulk_entities))?;
    let sizes = (sizes.bulk_entities, sizes.bulk_step, sizes.hot_others_per_second);
    let found = runtime.block_on(runtime.spawn(alternate(log, sizes)))??;
    report.add(NAME, "entities retried per second", "entities", &found.rate, Target::None);
    for (place, quantile) in ["p50", "p99"].into_iter().enumerate() {
        let (resting, retrying) = (&found.resting[place], &found.retrying[place]);
        let ratio = retrying.paired(resting, |retrying, resting| retrying / resting);
        let name = |what: &str| format!("others' {quantile} latency {what}");
        report.add(NAME, name("while none is retried"), "us", resting, Target::None);
        report.add(NAME, name("while they are retried"), "us", retrying, Target::None);
        report.add(NAME, name("retrying / resting"), "", &ratio, Target::AtMost(LATENCY_RATIO_MAX));
    }
    Ok(())
}

/// One call retries them all; between its steps it is left alone, so that both arms alternate within it.
async fn alternate(
    log: SqliteFailureLog,
    (entities, step, per_second): (usize, Duration, u32),
) -> anyhow::Result<Found> {
    let broker = InMemoryBroker::new();
    broker.create_topic_with(rig::TOPIC, TopicOptions { drop_settled: true, ..TopicOptions::default() })?;
    let watching = Arc::new(Watching(Others::new()?));
    let operator = Operator::new(Arc::new(log.clone()), ConsumerName::new("bench")?, "bench");
    let consumer = OrderedConsumer::new("bench", Arc::clone(&watching), log);
    let phases = async {
        let mut found = Found::default();
        let (query, pace) = (GateQuery::default(), Pace::default());
        let mut call = pin!(operator.retry_all(&query, &pace, "the benchmark", |_| {}));
        // Until everything is warm, and the call has reached its full rate.
        let mut ended = timeout(step * 5, call.as_mut()).await.ok();
        while ended.is_none() {
            rest(&consumer).await?;
            watching.0.latency();
            sleep(step / 3).await;
            record(&mut found.resting, watching.0.latency());
            let (before, started) = (consumer.stats().resolved, Instant::now());
            ended = timeout(step, call.as_mut()).await.ok();
            if ended.is_some() && !found.rate.is_empty() {
                // The last step is cut short by the end.
                break;
            }
            let resolved = consumer.stats().resolved - before;
            found.rate.push(resolved as f64 / started.elapsed().as_secs_f64());
            record(&mut found.retrying, watching.0.latency());
        }
        let ended = match ended {
            Some(ended) => ended?,
            None => call.await?,
        };
        anyhow::ensure!(ended.end == RetryAllEnd::Done, "the call has ended early: {ended}");
        anyhow::ensure!(ended.progress.retried == entities as u64, "not all were retried: {ended}");
        Ok(found)
    };
    let publishing = watching.0.publish(&broker, per_second);
    let source = broker.subscribe("bulk", &[rig::TOPIC])?;
    let done = async {
        tokio::select! { ended = phases => ended, failed = publishing => failed.map(|()| Found::default()) }
    };
    let (told, shutdown) = tokio::sync::oneshot::channel::<()>();
    let (ran, done) = tokio::join!(consumer.run_until(source, async { drop(shutdown.await) }), async {
        let done = done.await;
        drop(told);
        done
    });
    ran?;
    done
}

/// Until what was retried has been handled: nothing of it is left to disturb the others.
async fn rest<H: Handler>(consumer: &OrderedConsumer<H>) -> anyhow::Result<()> {
    let mut resolved = consumer.stats().resolved;
    loop {
        sleep(Duration::from_millis(200)).await;
        let now = consumer.stats().resolved;
        if now == resolved {
            return Ok(());
        }
        resolved = now;
    }
}

fn record(samples: &mut [Samples; 2], (p50, p99): (f64, f64)) {
    samples[0].push(p50);
    samples[1].push(p99);
}
