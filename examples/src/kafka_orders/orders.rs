//! Orders to look at.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ordered_consumer_kafka::KafkaConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::orders::{OrderEvent, STEPS};

/// Writes every order's events; the order's name is the record's key, so that they are all in one partition.
pub(super) async fn produce(config: &KafkaConfig, topic: &str, orders: u32) -> Result<()> {
    let producer: FutureProducer = config.producer_config()?.create().context("cannot make a producer")?;
    let mut sent = Vec::new();
    for what in STEPS {
        for number in 1..=orders {
            let order = format!("order-{number}");
            let payload = serde_json::to_vec(&OrderEvent { order: order.clone(), what: what.to_owned() })?;
            let record = FutureRecord::to(topic).key(&order).payload(&payload);
            sent.push(producer.send_result(record).map_err(|(error, _)| error)?);
        }
    }
    let count = sent.len();
    for delivered in sent {
        delivered.await?.map_err(|(error, _)| error).context("an order was not taken by the broker")?;
    }
    println!("produced {count} events of {orders} orders");
    // What is dropped now has nothing left to send.
    tokio::task::spawn_blocking(move || {
        rdkafka::producer::Producer::flush(&producer, Duration::from_secs(10))
    })
    .await??;
    Ok(())
}
