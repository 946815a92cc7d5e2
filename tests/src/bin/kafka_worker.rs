//! One process of the tests over several processes that read Kafka: it consumes until its standard input ends.
//!
//! `kafka-worker NUMBER DIRECTORY`, where the directory has its orders, and takes its recording.

use std::{io::Read, path::Path, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use ordered_consumer::{Limits, OrderedConsumer, PostgresFailureLog, RetryPolicy, Timeouts};
use ordered_consumer_kafka::{KafkaConfig, KafkaPublisher, KafkaSource};
use ordered_consumer_tests::processes::{
    kafka_team::{Orders, orders_in, recording_in},
    recorded::Recorded,
    recording::Recording,
};
use tokio::sync::watch;
use tracing_subscriber::{
    Layer as _,
    filter::{LevelFilter, Targets},
    fmt::layer,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

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
    let of =
        Targets::new().with_target("ordered_consumer", level).with_target("ordered_consumer_kafka", level);
    let lines = layer().with_ansi(false).with_writer(std::fs::File::create(path)?);
    tracing_subscriber::registry().with(lines.with_filter(of)).try_init()?;
    Ok(())
}

async fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [number, directory] = &*arguments else { bail!("usage: kafka-worker NUMBER DIRECTORY") };
    let (process, directory) = (number.parse().context("a number")?, Path::new(directory));
    let orders: Orders = serde_json::from_str(&std::fs::read_to_string(orders_in(directory))?)?;
    log_to(&directory.join(format!("log-{process}")))?;
    let recording = Arc::new(Recording::open(&recording_in(directory))?);
    let handler = Recorded::new(recording, process, orders.plan);
    let (schema, address) = &orders.failure_log;
    let log = PostgresFailureLog::builder(address).schema(schema).connect().await?;
    // A run that was lost with its process uses up an attempt; nothing is to park.
    let policy = RetryPolicy::fixed(Duration::from_millis(20)).immediate(0).attempts_max(1_000);
    let limits = Limits { uncommitted_max: 64, ..Limits::default() };
    let mut consumer = OrderedConsumer::new("billing", handler, log)
        .with_retry_policy(policy)
        .with_timeouts(timeouts())
        .with_limits(limits);
    let config = KafkaConfig::from_properties(&orders.properties);
    let mut source = KafkaSource::builder(config.clone(), [&orders.topic])
        .commit_interval(Duration::from_millis(200))
        .broker_session_timeout(Duration::from_secs(6));
    if let Some(topic) = orders.retry_topic {
        consumer = consumer.with_publisher(KafkaPublisher::new(&config, &topic)?);
        source = source.retry_topic(topic);
    }
    let (tell, mut told) = watch::channel(false);
    std::thread::spawn(move || {
        // Whatever it says, its end is what counts.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        tell.send_replace(true);
    });
    let stopped = async move {
        // That the sender is gone says the same.
        let _ = told.wait_for(|told| *told).await;
    };
    Ok(consumer.run_until(source.subscribe()?, stopped).await?)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kafka-worker: {error:?}");
            ExitCode::FAILURE
        }
    }
}
