//! One process of the tests over several processes that read SQS: it consumes until its standard input ends.
//!
//! `sqs-worker NUMBER DIRECTORY`, where the directory has its orders, and takes its recording.

use std::{process::ExitCode, time::Duration};

use anyhow::Context;
use ordered_consumer_sqs::{SqsMapping, SqsPublisher, SqsSource};
use ordered_consumer_tests::{
    processes::{
        member::{Member, ended, enlist, told_to_leave},
        sqs_team::SqsReading,
    },
    sqs::{ID, client},
};

async fn run() -> anyhow::Result<()> {
    let Member { number, mut consumer, reading } = enlist::<SqsReading>().await?;
    let endpoints = &reading.endpoints;
    let place =
        (usize::try_from(number)? - 1).checked_rem(endpoints.len()).context("there is no endpoint")?;
    let client = client(&endpoints[place]).await;
    // Two receivers of a second each: a process that leaves waits for them.
    let mut source = SqsSource::builder(client.clone(), &reading.url)
        .mapping(SqsMapping::new().id_from_attribute(ID))
        .receivers(2)
        .wait(Duration::from_secs(1));
    if let Some(url) = reading.retry_url {
        consumer = consumer.with_publisher(SqsPublisher::open(client, &url).await?);
        source = source.retry_queue(url);
    }
    Ok(consumer.run_until(source.open().await?, told_to_leave()).await?)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    ended("sqs-worker", run().await)
}
