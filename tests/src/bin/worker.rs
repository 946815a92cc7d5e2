//! One process of the tests over several processes: it consumes, or only retries, until its standard input ends.
//!
//! `worker ROLE NUMBER DIRECTORY STORE SEED`, where the role is `owned`, `queue` or `relay`, and the store is `sqlite:PATH`
//! or, with the feature `services`, `SCHEMA:postgres://…`.

use std::{io::Read, path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use ordered_consumer::{
    FailureLog, Limits, OrderedConsumer, RetryPolicy, RunError, SqliteFailureLog, Timeouts,
};
use ordered_consumer_tests::processes::{
    file_queue,
    file_source::FileSource,
    group_file::Files,
    recorded::{Plan, Recorded},
    recording::Recording,
};
use tokio::sync::watch;

async fn open(store: &str) -> anyhow::Result<Arc<dyn FailureLog>> {
    match store.split_once(':') {
        Some(("sqlite", _)) => Ok(Arc::new(SqliteFailureLog::connect(store).await?)),
        #[cfg(feature = "services")]
        Some((schema, url)) if url.starts_with("postgres:") => {
            let log = ordered_consumer::PostgresFailureLog::builder(url).schema(schema).connect().await?;
            Ok(Arc::new(log))
        }
        _ => bail!("no failure log has the address {store}"),
    }
}

fn consumer(handler: Recorded, log: Arc<dyn FailureLog>) -> OrderedConsumer<Recorded> {
    let timeouts = Timeouts {
        claim: Duration::from_secs(3),
        redelivery: Duration::from_millis(500),
        drain: Duration::from_millis(500),
        poll: Duration::from_millis(50),
        refresh: Duration::from_millis(200),
        ..Timeouts::default()
    };
    // A run that was lost with its process uses up an attempt; nothing is to park.
    let policy = RetryPolicy::fixed(Duration::from_millis(20)).immediate(0).attempts_max(1_000);
    let limits = Limits { uncommitted_max: 64, ..Limits::default() };
    OrderedConsumer::new("billing", handler, log)
        .with_retry_policy(policy)
        .with_timeouts(timeouts)
        .with_limits(limits)
}

/// Receives and processes until it is told to stop.
async fn feed(
    consumer: &OrderedConsumer<Recorded>,
    files: &Files,
    process: u32,
    told: &watch::Receiver<bool>,
) -> anyhow::Result<()> {
    while !*told.borrow() {
        let received = file_queue::receive(files, process)?;
        if received.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        }
        let outcomes = consumer.process_batch(received.clone()).await;
        // Deleted in order; once one of an entity cannot be, the rest of it is given back.
        let (mut broken, mut back) = (std::collections::BTreeSet::new(), Vec::new());
        for (delivery, outcome) in received.iter().zip(outcomes) {
            let entity = delivery.event.entity().clone();
            if broken.contains(&entity) || outcome.is_err() || !file_queue::delete(files, delivery)? {
                broken.insert(entity);
                back.push(delivery.receipt);
            }
        }
        file_queue::give_back(files, &back)?;
    }
    Ok(())
}

async fn stopped(mut told: watch::Receiver<bool>) {
    // That the sender is gone says the same.
    let _ = told.wait_for(|told| *told).await;
}

async fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, number, directory, store, seed] = &*arguments else {
        bail!("usage: worker owned|queue|relay NUMBER DIRECTORY STORE SEED");
    };
    let process: u32 = number.parse().context("a number")?;
    let files = Files::in_directory(Path::new(directory));
    let recording = Arc::new(Recording::open(&files.recording())?);
    let plan = Plan { seed: seed.parse().context("a seed")?, ..Plan::default() };
    let handler = Recorded::new(recording, process, plan);
    let mut tries = 0;
    let log = loop {
        match open(store).await {
            Ok(log) => break log,
            // The store may be away at this moment.
            Err(_) if tries < 100 => tries += 1,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let consumer = consumer(handler, log);
    let (tell, told) = watch::channel(false);
    std::thread::spawn(move || {
        // Whatever it says, its end is what counts.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        tell.send_replace(true);
    });
    loop {
        let ended = match role.as_str() {
            "owned" => {
                consumer.run_until(FileSource::join(files.clone(), process), stopped(told.clone())).await
            }
            "relay" => consumer.run_retries_until(stopped(told.clone())).await,
            "queue" => {
                let mut retries = std::pin::pin!(consumer.run_retries_until(stopped(told.clone())));
                tokio::select! {
                    retried = &mut retries => retried,
                    fed = feed(&consumer, &files, process, &told) => {
                        fed?;
                        retries.await
                    }
                }
            }
            other => bail!("no role is called {other}"),
        };
        match ended {
            // It does not begin while the failure log is away; whoever supervises it starts it again.
            Err(RunError::FailureLog { .. }) if !*told.borrow() => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            ended => return Ok(ended?),
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error:?}");
            ExitCode::FAILURE
        }
    }
}
