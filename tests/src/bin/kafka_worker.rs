//! One process of the tests over several processes that read Kafka: it consumes until its standard input ends.
//!
//! `kafka-worker NUMBER DIRECTORY`, where the directory has its orders, and takes its recording.

use std::{process::ExitCode, time::Duration};

use ordered_consumer_kafka::{KafkaConfig, KafkaPublisher, KafkaSource};
use ordered_consumer_tests::processes::{
    kafka_team::KafkaReading,
    member::{Member, ended, enlist, told_to_leave},
};

async fn run() -> anyhow::Result<()> {
    let Member { mut consumer, reading, .. } = enlist::<KafkaReading>().await?;
    let config = KafkaConfig::from_properties(&reading.properties);
    let mut source = KafkaSource::builder(config.clone(), [&reading.topic])
        .commit_interval(Duration::from_millis(200))
        .broker_session_timeout(Duration::from_secs(6));
    if let Some(topic) = reading.retry_topic {
        consumer = consumer.with_publisher(KafkaPublisher::new(&config, &topic)?);
        source = source.retry_topic(topic);
    }
    Ok(consumer.run_until(source.subscribe()?, told_to_leave()).await?)
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    ended("kafka-worker", run().await)
}
