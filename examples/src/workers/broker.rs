//! The broker of this example: who owns which partition, and how far each is settled.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, bail};
use ordered_consumer::{ConsumerName, Operator};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep, timeout},
};

use super::{
    Options, diary,
    fleet::{Fleet, Settled},
    store,
    summary::Summary,
    worker,
};
use crate::replay::{EventLog, check};

/// How long nothing may happen before something is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

struct Partition {
    owner: u32,
    /// How many of its events there are.
    events: usize,
    /// The first that is not settled.
    next: usize,
    ended: bool,
}

/// Runs the whole show, and judges it.
pub(super) async fn serve(options: &Options) -> Result<Summary> {
    let log = EventLog::orders()?;
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let diary = directory.path().join("diary.jsonl");
    // A name of its own: what earlier shows have left in the log is none of this one's business.
    let name = format!("workers-{}-{}", std::process::id(), std::time::UNIX_EPOCH.elapsed()?.as_millis());
    let failures = store::open(&options.store).await?;
    let store = failures.describe();
    let operator = Operator::new(failures, ConsumerName::new(&name)?, "the broker of the example");
    let (mut fleet, mut heard) = Fleet::new(options, &name, &diary);
    let started = Instant::now();
    consume(options, &log, &mut fleet, &mut heard).await?;
    wait_for_retries(&operator).await?;
    fleet.stop().await?;
    let (ended, dropped) = diary::read(&diary)?;
    let findings = check(&log, &ended, &dropped, &BTreeSet::new());
    let failures = ended.iter().filter(|run| run.ok == Some(false)).count();
    Ok(Summary {
        store,
        events: log.events.len(),
        entities: log.entities.len(),
        workers: options.workers,
        killed: options.kill,
        runs: ended.len(),
        failures,
        broken_off: dropped.len(),
        took: started.elapsed(),
        findings,
    })
}

async fn consume(
    options: &Options,
    log: &EventLog,
    fleet: &mut Fleet,
    heard: &mut UnboundedReceiver<Result<Settled>>,
) -> Result<()> {
    let workers = (0..options.workers).map(|_| fleet.start()).collect::<Result<Vec<u32>>>()?;
    let mut partitions = Vec::new();
    for (number, rows) in worker::partitions(log, options.partitions).iter().enumerate() {
        let owner = workers[number % workers.len()];
        fleet.give(owner, number, 0).await?;
        partitions.push(Partition { owner, events: rows.len(), next: 0, ended: false });
    }
    let mut killed = 0;
    while partitions.iter().any(|partition| !partition.ended) {
        let settled = timeout(PATIENCE, heard.recv()).await.context("the workers have fallen silent")?;
        take_note(&mut partitions, settled.context("every worker is gone")??)?;
        let done: usize = partitions.iter().map(|partition| partition.next).sum();
        // Spread over the whole way.
        if killed < options.kill
            && done * (options.kill as usize + 1) >= log.events.len() * (killed as usize + 1)
        {
            killed += 1;
            kill_one(&mut partitions, fleet, heard).await?;
        }
    }
    Ok(())
}

fn take_note(partitions: &mut [Partition], settled: Settled) -> Result<()> {
    let partition = partitions.get_mut(settled.partition).context("there is no such partition")?;
    partition.next = settled.next;
    partition.ended = settled.ended;
    if partition.ended && partition.next != partition.events {
        bail!("a worker has ended a partition before its end");
    }
    Ok(())
}

/// Kills whoever has most to do; a new worker gets all that it owned, from where it was settled.
async fn kill_one(
    partitions: &mut [Partition],
    fleet: &mut Fleet,
    heard: &mut UnboundedReceiver<Result<Settled>>,
) -> Result<()> {
    let left = partitions.iter().max_by_key(|partition| partition.events - partition.next);
    let victim = left.context("there are no partitions")?.owner;
    fleet.kill(victim).await?;
    while let Ok(settled) = heard.try_recv() {
        take_note(partitions, settled?)?;
    }
    let heir = fleet.start()?;
    for (number, partition) in partitions.iter_mut().enumerate() {
        if partition.owner == victim && !partition.ended {
            partition.owner = heir;
            fleet.give(heir, number, partition.next).await?;
        }
    }
    Ok(())
}

/// What is in the failure log when the partitions have come to their ends is retried until nothing is left.
async fn wait_for_retries(operator: &Operator) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let totals = operator.totals().await?;
        if totals.gated_entities == 0 {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("{} entities are still gated after {PATIENCE:?}", totals.gated_entities);
        }
        sleep(Duration::from_millis(50)).await;
    }
}
