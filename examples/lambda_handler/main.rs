//! What an AWS Lambda function does with its batches of an SQS FIFO queue: reads one event from standard input, and prints
//! what Lambda is to be told.
//!
//! ```sh
//! cargo run --example lambda_handler --features lambda < examples/data/sqs_event.json
//! ```
//!
//! With the `lambda_runtime` crate, `main` is
//!
//! ```text
//! let batches = batches().await?;
//! lambda_runtime::run(service_fn(|event: LambdaEvent<SqsEvent>| async {
//!     let left = event.context.deadline().duration_since(SystemTime::now()).unwrap_or_default();
//!     Ok::<_, Error>(batches.handle_batch_within(event.payload, left).await)
//! }))
//! .await
//! ```
//!
//! Turn `ReportBatchItemFailures` on, use a failure log that all instances share (PostgreSQL), and keep one process
//! elsewhere that runs the retries (`OrderedConsumer::run_retries_until`): between two invocations nothing runs here.

use std::io::{Read, stdin};

use anyhow::bail;
use aws_lambda_events::sqs::SqsEvent;
use ordered_consumer::{Event, Handler, MemoryFailureLog, OrderedConsumer};
use ordered_consumer_sqs::SqsBatches;

async fn charge(event: Event) -> anyhow::Result<()> {
    let order = String::from_utf8_lossy(event.entity()).into_owned();
    if event.payload().is_some_and(|payload| payload.starts_with(b"fail")) {
        eprintln!("{order}: {} fails", event.index());
        bail!("the bank does not answer");
    }
    eprintln!("{order}: {} is charged", event.index());
    Ok(())
}

fn batches() -> SqsBatches<impl Handler> {
    SqsBatches::new(OrderedConsumer::new("billing", charge, MemoryFailureLog::new()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut text = String::new();
    stdin().read_to_string(&mut text)?;
    let event: SqsEvent = serde_json::from_str(&text)?;
    let response = batches().handle_batch(event).await;
    println!("{}", serde_json::to_string(&response)?);
    Ok(())
}
