//! The program.

use std::{process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser as _;
use ordered_consumer::{OrderedConsumer, RetryPolicy};
use ordered_consumer_sqs::{SqsPublisher, SqsSource};

use super::{
    Options,
    options::Retries,
    orders,
    queues::{self, client},
};
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
    let client = client().await;
    let url = queues::url(&client, &options.queue).await?;
    if options.produce > 0 {
        orders::produce(&client, &url, options.produce).await?;
    }
    let failures = store::open(&options.store).await?;
    let handler = Charge::new(&options.watched);
    let mut consumer = OrderedConsumer::new(&options.consumer, handler, failures)
        .with_retry_policy(RetryPolicy::exponential(Duration::from_secs(1), 2.0).attempts_max(8));
    let mut source = SqsSource::builder(client.clone(), &url);
    match options.retries() {
        Retries::InProcess => {}
        Retries::SameQueue => consumer = consumer.with_publisher(SqsPublisher::open(client, &url).await?),
        Retries::Queue(name) => {
            let retry_url = queues::url(&client, &name).await?;
            consumer = consumer.with_publisher(SqsPublisher::open(client, &retry_url).await?);
            source = source.retry_queue(retry_url);
        }
    }
    let source = source.open().await?;
    let operator = consumer.operator("sqs_orders")?;
    println!("consuming {} as {}; Ctrl-C ends it", options.queue, options.consumer);
    let until = async {
        tokio::select! {
            () = asked_to_end() => {}
            () = idle(&consumer, &operator), if options.until_idle => {}
        }
    };
    consumer.run_until(source, until).await?;
    tell(&consumer.stats(), &operator).await
}
