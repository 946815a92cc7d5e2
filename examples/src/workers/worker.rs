//! A worker: owns the partitions that the broker gives it, and retries whatever is in the failure log.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use futures::{StreamExt as _, stream};
use ordered_consumer::{
    Event, FailureLog, Handler, HandlerError, Index, OrderedConsumer, RetryPolicy, StreamName,
    TakeOverOptions, Timeouts, permanent,
};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::oneshot,
    task::JoinSet,
};

use super::{
    Options,
    diary::{Diary, Line},
    store,
};
use crate::replay::{EventLog, Faults};

/// Events of one partition that are under way at once.
const UNDER_WAY: usize = 32;
/// After so many events the broker is told how far the partition is settled.
const SETTLE_EVERY: usize = 20;

/// What the workers share of the topic: the rows of each partition, in the order of their indexes.
pub(super) fn partitions(log: &EventLog, count: u32) -> Vec<Vec<usize>> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut partitions = vec![Vec::new(); count];
    for (row, event) in log.events.iter().enumerate() {
        partitions[event.entity % count].push(row);
    }
    partitions
}

struct Charge {
    log: Arc<EventLog>,
    faults: Faults,
    diary: Diary,
    worker: u32,
}

impl Handler for Charge {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let row = row_of(&event).map_err(permanent)?;
        let attempt = event.context().attempt;
        let line = |ok| Line { row, attempt, worker: self.worker, ok };
        self.diary.write(&line(None))?;
        tokio::time::sleep(Duration::from_millis(u64::from(row % 5 == 0) + 1)).await;
        let fails = self.faults.fails(row, self.log.events[row].entity, attempt);
        self.diary.write(&line(Some(!fails)))?;
        if fails { Err(anyhow!("attempt {attempt} was drawn to fail").into()) } else { Ok(()) }
    }
}

fn row_of(event: &Event) -> Result<usize> {
    Ok(std::str::from_utf8(event.id().context("an event has no id")?)?.parse()?)
}

type Consumer = OrderedConsumer<Charge>;

/// Works until the broker says that everything is done, or is gone.
pub(super) async fn work(options: &Options, worker: u32) -> Result<()> {
    let (name, diary) = (options.name.as_deref(), options.diary.as_deref());
    let consumer =
        consumer(options, worker, name.unwrap_or_default(), diary.unwrap_or(Path::new(""))).await?;
    let (log, consumer) = (Arc::new(EventLog::orders()?), Arc::new(consumer));
    let rows = partitions(&log, options.partitions);
    let (stop, stopped) = oneshot::channel::<()>();
    let retrying = Arc::clone(&consumer);
    let retries = tokio::spawn(async move {
        // A sender that is dropped says the same.
        let told = async { stopped.await.unwrap_or_default() };
        retrying.run_retries_until(told).await
    });
    let mut owned = JoinSet::new();
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    loop {
        tokio::select! {
            order = orders.next_line() => match order?.as_deref().map(|order| order.split_once(' ')) {
                Some(Some((partition, from))) => {
                    let (partition, from): (usize, usize) = (partition.parse()?, from.parse()?);
                    let rows = rows.get(partition).context("there is no such partition")?.clone();
                    owned.spawn(own(Arc::clone(&consumer), Arc::clone(&log), partition, rows, from));
                }
                // Another word than two numbers, or the end of what the broker says.
                Some(None) | None => break,
            },
            Some(ended) = owned.join_next() => ended??,
        }
    }
    drop(stop);
    retries.await??;
    Ok(())
}

async fn consumer(options: &Options, worker: u32, name: &str, diary: &Path) -> Result<Consumer> {
    let log = Arc::new(EventLog::orders()?);
    let faults = Faults::draw(&log, options.seed, options.fail, 0);
    let handler = Charge { log, faults, diary: Diary::open(diary)?, worker };
    let failures: Arc<dyn FailureLog> = store::open(&options.store).await?;
    let policy = RetryPolicy::exponential(Duration::from_millis(20), 1.5)
        .max_delay(Duration::from_millis(200))
        .unlimited_attempts();
    // What a killed worker was running, or was about to, is tried again after these.
    let (claim, redelivery) = (Duration::from_secs(2), Duration::from_secs(2));
    let timeouts = Timeouts { claim, redelivery, ..Timeouts::default() };
    Ok(OrderedConsumer::new(name, handler, failures).with_retry_policy(policy).with_timeouts(timeouts))
}

/// Consumes one partition from this place on, until its end.
async fn own(
    consumer: Arc<Consumer>,
    log: Arc<EventLog>,
    partition: usize,
    rows: Vec<usize>,
    from: usize,
) -> Result<()> {
    let name = StreamName::new(format!("orders/{partition}"))?;
    let position = Some(Index::new(u128::try_from(from)?));
    let options = TakeOverOptions { position, ..TakeOverOptions::default() };
    // The broker has just said so, and says so to one worker only.
    let guard = consumer.take_over(name.clone(), options, || async { true }).await?;
    let mut events = Vec::with_capacity(rows.len().saturating_sub(from));
    for (place, row) in rows.into_iter().enumerate().skip(from) {
        let entity = log.entity_of(row).to_owned();
        let built = Event::builder(name.clone(), Index::new(place as u128), entity).id(row.to_string());
        events.push(built.payload(log.events[row].payload.clone()).build());
    }
    // In the order of the partition, so that what has come out is settled without a gap.
    let mut outcomes = stream::iter(events).map(|event| guard.process(event)).buffered(UNDER_WAY);
    let mut next = from;
    while let Some(outcome) = outcomes.next().await {
        outcome?;
        next += 1;
        if next.is_multiple_of(SETTLE_EVERY) {
            println!("settled {partition} {next}");
        }
    }
    drop(outcomes);
    let last = next.checked_sub(1).map(u128::try_from).transpose()?.map(Index::new);
    guard.release(last).await?;
    println!("ended {partition} {next}");
    Ok(())
}
