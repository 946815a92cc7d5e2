//! The program.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser as _;
use ordered_consumer::{OrderedConsumer, RetryPolicy};
use ordered_consumer_kafka::{KafkaPublisher, KafkaSource};

use super::{Options, client, orders};
use crate::{
    orders::{Charge, asked_to_end, idle, run_logged, tell},
    workers::store,
};

/// Reads the arguments and runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    run_logged(run(&options))
}

async fn run(options: &Options) -> Result<()> {
    let config = client::config(options);
    client::create_topic(&config, options).await?;
    if options.produce > 0 {
        orders::produce(&config, &options.topic, options.produce).await?;
    }
    let failures = store::open(&options.store).await?;
    let handler = Charge::new(&options.watched);
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
