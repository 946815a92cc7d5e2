//! What every process of a team does, whatever it reads.

use std::{io::Read, path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use ordered_consumer::{
    Limits, OrderedConsumer, PostgresFailureLog, PostgresTimeouts, RetryPolicy, Timeouts,
};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::layer,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::{
    recorded::Recorded,
    recording::Recording,
    team::{Orders, log_in, orders_in, recording_in},
};

/// A process of a team.
pub struct Member<R> {
    /// Which of them; the first is 1.
    pub number: u32,
    /// What it does with events.
    pub consumer: OrderedConsumer<Recorded>,
    /// How it is to read.
    pub reading: R,
}

fn timeouts() -> Timeouts {
    Timeouts {
        claim: Duration::from_secs(3),
        redelivery: Duration::from_millis(500),
        drain: Duration::from_millis(1_000),
        poll: Duration::from_millis(50),
        refresh: Duration::from_millis(200),
        // The tests' producer notices at once.
        producers_notice: Duration::from_secs(1),
        ..Timeouts::default()
    }
}

/// What happened in a process whose test has failed is in its log; the level is `ORDERED_CONSUMER_TEST_LOG`, or info.
fn log_to(path: &Path) -> anyhow::Result<()> {
    let level: LevelFilter =
        std::env::var("ORDERED_CONSUMER_TEST_LOG").as_deref().unwrap_or("info").parse()?;
    let ours = ["ordered_consumer", "ordered_consumer_kafka", "ordered_consumer_sqs"];
    let of = Targets::new().with_targets(ours.map(|target| (target, level)));
    let lines = layer().with_ansi(false).with_writer(std::fs::File::create(path)?);
    tracing_subscriber::registry().with(lines.with_filter(of)).try_init()?;
    Ok(())
}

/// Makes this process a member: its arguments are its number and the directory that has its orders, and takes its
/// recording.
///
/// # Errors
/// When there are no orders, or the failure log cannot be reached.
pub async fn enlist<R: DeserializeOwned>() -> anyhow::Result<Member<R>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [number, directory] = &*arguments else { bail!("its arguments are NUMBER and DIRECTORY") };
    let (number, directory) = (number.parse().context("a number")?, Path::new(directory));
    let orders: Orders<R> = serde_json::from_str(&std::fs::read_to_string(orders_in(directory))?)?;
    log_to(&log_in(directory, number))?;
    let recording = Arc::new(Recording::open(&recording_in(directory))?);
    let handler = Recorded::new(recording, number, orders.plan);
    let (schema, address) = &orders.failure_log;
    // What a process that is stopped has locked is free again before the claims of others run out.
    let waits = PostgresTimeouts::default().idle_in_transaction(Duration::from_secs(1));
    let log = PostgresFailureLog::builder(address).schema(schema).timeouts(waits).connect().await?;
    // A run that was lost with its process uses up an attempt; nothing is to park.
    let policy = RetryPolicy::fixed(Duration::from_millis(20)).immediate(0).attempts_max(1_000);
    let limits = Limits { uncommitted_max: 64, ..Limits::default() };
    let consumer = OrderedConsumer::new("billing", handler, log)
        .with_retry_policy(policy)
        .with_timeouts(timeouts())
        .with_limits(limits);
    Ok(Member { number, consumer, reading: orders.reading })
}

/// Ends when this process's standard input does: whoever started it wants it to leave.
pub async fn told_to_leave() {
    let (tell, mut told) = watch::channel(false);
    std::thread::spawn(move || {
        // Whatever it says, its end is what counts.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        tell.send_replace(true);
    });
    // That the sender is gone says the same.
    let _ = told.wait_for(|told| *told).await;
}

/// What a process says of how it has ended.
#[must_use]
pub fn ended(as_what: &str, ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{as_what}: {error:?}");
            ExitCode::FAILURE
        }
    }
}
