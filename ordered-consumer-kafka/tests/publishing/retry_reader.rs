//! A source that reads a retry topic and nothing else.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirming, EventSource, ReturnedCopy, Settlement, Sharing, SourceError, SourceMessage,
};
use ordered_consumer_kafka::{KafkaConfig, decode_copy};
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
};
use tokio::time::sleep;

/// Reads a topic's partitions from their beginnings, without a group.
pub(crate) struct RetryReader {
    consumer: Arc<BaseConsumer>,
    receipt: u64,
}

impl RetryReader {
    pub(crate) async fn open(config: &KafkaConfig, topic: &str, partitions: i32) -> Self {
        let consumer: BaseConsumer = config.consumer_config().unwrap().create().unwrap();
        let mut all = TopicPartitionList::new();
        for partition in 0..partitions {
            all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&all).unwrap();
        // What comes first takes long; later, it is soon known that nothing comes.
        let mut left = partitions;
        while left > 0 {
            match consumer.poll(Duration::ZERO) {
                Some(Err(KafkaError::PartitionEOF(_))) => left -= 1,
                Some(Ok(record)) => panic!("a new reader of an empty topic has read {record:?}"),
                Some(Err(_)) | None => sleep(Duration::from_millis(2)).await,
            }
        }
        Self { consumer: Arc::new(consumer), receipt: 0 }
    }

    /// The next record's partition, key and copy.
    pub(crate) async fn record(&mut self) -> (i32, Option<Vec<u8>>, ReturnedCopy) {
        loop {
            // Errors are ends of partitions, and brokers that are away.
            if let Some(Ok(record)) = self.consumer.poll(Duration::ZERO) {
                let copy = decode_copy(&record).expect("nothing but copies is in the retry topic");
                self.receipt += 1;
                let copy = ReturnedCopy {
                    stream: copy.stream,
                    entity: copy.entity,
                    index: copy.index,
                    attempts: copy.attempts,
                    receipt: self.receipt,
                };
                return (record.partition(), record.key().map(<[u8]>::to_vec), copy);
            }
            sleep(Duration::from_millis(2)).await;
        }
    }
}

#[async_trait]
impl EventSource for RetryReader {
    fn describe(&self) -> String {
        "a retry topic".into()
    }

    fn sharing(&self) -> Sharing {
        Sharing::Owned
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        Ok(SourceMessage::Copies(vec![self.record().await.2]))
    }

    fn confirm(&mut self, _: &Assignment) -> Confirming {
        Box::pin(async { Ok(None) })
    }

    fn pause(&mut self, _: &Assignment) {}
    fn resume(&mut self, _: &Assignment) {}
    fn settle(&mut self, _: Settlement) {}
    fn release(&mut self, _: &Assignment) {}

    async fn close(&mut self) -> Result<(), SourceError> {
        Ok(())
    }
}
