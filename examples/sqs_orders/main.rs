//! Orders from an SQS FIFO queue, each one's events in their order, whatever fails.
//!
//! ```sh
//! eval "$(tests/services/elasticmq start /tmp/elasticmq)"
//! export AWS_ENDPOINT_URL=$SQS_ENDPOINT_URL AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x
//! cargo run --example sqs_orders --features sqs -- --produce 40
//! ```
//!
//! Endpoint, region and credentials are ordinary AWS configuration: without `AWS_ENDPOINT_URL` it is AWS itself. The queues
//! are made if they are not there. Some payments fail at first, and come back through the retry queue.

use std::path::PathBuf;

use anyhow::{Context, bail};
use aws_config::BehaviorVersion;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use clap::Parser;
use ordered_consumer::{Event, OrderedConsumer, SqliteFailureLog};
use ordered_consumer_sqs::{SqsPublisher, SqsSource};

/// Orders from an SQS FIFO queue.
#[derive(Parser)]
struct Arguments {
    /// The queue's name, which ends in `.fifo`.
    #[arg(long, default_value = "orders.fifo")]
    queue: String,
    /// Sends so many events first, of ten orders in turn.
    #[arg(long, default_value_t = 0)]
    produce: u32,
    /// Where failures are kept.
    #[arg(long, default_value = "failures.db")]
    failures: PathBuf,
}

async fn charge(event: Event) -> anyhow::Result<()> {
    let order = String::from_utf8_lossy(event.entity()).into_owned();
    // One of seven fails three times: twice at once, and once when it has come back through the retry queue.
    if event.index().get() % 7 == 3 && event.context().attempt < 4 {
        println!("{order}: {} fails (attempt {})", event.index(), event.context().attempt);
        bail!("the bank does not answer");
    }
    println!("{order}: {} is charged (attempt {})", event.index(), event.context().attempt);
    Ok(())
}

async fn queue(client: &Client, name: &str) -> anyhow::Result<String> {
    let made = client
        .create_queue()
        .queue_name(name)
        .attributes(QueueAttributeName::FifoQueue, "true")
        .attributes(QueueAttributeName::ContentBasedDeduplication, "false");
    let made = made.send().await.with_context(|| format!("queue {name} cannot be made"))?;
    made.queue_url.context("the queue has no URL")
}

async fn produce(client: &Client, url: &str, count: u32) -> anyhow::Result<()> {
    let run = std::process::id();
    for number in 0..count {
        let sending = client
            .send_message()
            .queue_url(url)
            .message_group_id(format!("order-{}", number % 10))
            .message_deduplication_id(format!("{run}-{number}"))
            .message_body(format!(r#"{{"amount": {number}}}"#));
        sending.send().await.context("an event cannot be sent")?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::WARN).init();
    let arguments = Arguments::parse();
    let https = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let config = aws_config::defaults(BehaviorVersion::latest()).http_client(https).load().await;
    let client = Client::new(&config);
    let Some(name) = arguments.queue.strip_suffix(".fifo") else {
        bail!("a FIFO queue's name ends in .fifo")
    };
    let url = queue(&client, &arguments.queue).await?;
    let retry_url = queue(&client, &format!("{name}-retry.fifo")).await?;
    produce(&client, &url, arguments.produce).await?;

    let failures = SqliteFailureLog::open(&arguments.failures).await?;
    let publisher = SqsPublisher::open(client.clone(), &retry_url).await?;
    let source = SqsSource::builder(client, &url).retry_queue(&retry_url).open().await?;
    let consumer = OrderedConsumer::new("billing", charge, failures).with_publisher(publisher);
    println!("{} is consumed; stop it with Ctrl-C", arguments.queue);
    consumer
        .run_until(source, async {
            // Without signals there is no other end than being killed, which loses nothing.
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
        .await?;
    Ok(())
}
