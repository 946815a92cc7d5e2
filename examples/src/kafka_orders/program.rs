//! The program.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser as _;
use ordered_consumer::{GateQuery, Handler, Operator, OrderedConsumer, RetryPolicy, Stats, display_safe};
use ordered_consumer_kafka::{KafkaPublisher, KafkaSource};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

use super::{Options, client, handler::Charge, orders};
use crate::workers::store;

/// How long nothing must come for the program to end by itself.
const IDLE: Duration = Duration::from_secs(5);

/// Reads the arguments and runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(run(&options)),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: &Options) -> Result<()> {
    let config = client::config(options);
    client::create_topic(&config, options).await?;
    if options.produce > 0 {
        orders::produce(&config, &options.topic, options.produce).await?;
    }
    let failures = store::open(&options.store).await?;
    let handler = Charge::new(&options.fail, &options.park);
    let mut consumer = OrderedConsumer::new(&options.group, handler, failures)
        .with_retry_policy(RetryPolicy::exponential(Duration::from_secs(1), 2.0).attempts_max(8));
    let mut source = KafkaSource::builder(config.clone(), [&options.topic]);
    if let Some(retry) = options.retry_topic() {
        retry.ensure(&config, &[&options.topic]).await?;
        consumer = consumer.with_publisher(KafkaPublisher::new(&config, retry.name())?);
        source = source.retry_topic(retry.name());
    }
    let source = source.subscribe()?;
    let operator = consumer.operator("kafka_orders")?;
    println!("consuming {} as {}; Ctrl-C ends it", options.topic, options.group);
    let until = async {
        tokio::select! {
            () = asked_to_end() => {}
            () = idle(&consumer, &operator), if options.until_idle => {}
        }
    };
    consumer.run_until(source, until).await?;
    tell(&consumer.stats(), &operator).await
}

/// Ctrl-C, or what a service manager sends.
async fn asked_to_end() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

/// Waits until nothing has come for a time and nothing waits but for an operator.
async fn idle(consumer: &OrderedConsumer<impl Handler>, operator: &Operator) {
    let (mut seen, mut since) = (consumer.stats(), Instant::now());
    loop {
        sleep(Duration::from_millis(100)).await;
        let stats = consumer.stats();
        let waits =
            !matches!(operator.totals().await, Ok(totals) if totals.gated_entities == totals.parked_entities);
        if stats != seen || stats.consumed == 0 || waits {
            (seen, since) = (stats, Instant::now());
        }
        if since.elapsed() > IDLE {
            return;
        }
    }
}

/// What an operator would want to know.
async fn tell(stats: &Stats, operator: &Operator) -> Result<()> {
    println!(
        "\nconsumed {}, handled {}, held {}, resolved by retries {}, duplicates {}",
        stats.consumed, stats.handled, stats.held, stats.resolved, stats.duplicates
    );
    let gated = operator.list(&GateQuery { limit: 20, ..GateQuery::default() }).await?;
    if gated.is_empty() {
        println!("Nothing waits.");
        return Ok(());
    }
    println!("What waits (see the example `operate` for what can be done about it):");
    for found in gated {
        let entity = String::from_utf8_lossy(&found.key.entity).into_owned();
        let (state, held) = (found.gate.state().as_str(), found.gate.held_events);
        println!("  {} of {}: {state}, {held} held", display_safe(&entity), found.key.stream);
        println!("    {}", operator.explain(found.key.entity.clone()).await?);
    }
    Ok(())
}
