//! Sends records to one topic, and refuses those that it does not take before they are sent.

use std::fmt;

use bytes::Bytes;
use ordered_consumer::PublishError;

use crate::{
    ConfigError, KafkaConfig,
    headers::CopyHead,
    producer::{Outgoing, Producer},
    topic_sizes::TopicSizes,
};

/// At most what a batch of one record has beside key, value and headers.
const RECORD_OVERHEAD_MAX: usize = 100;

/// A record is too large with its headers.
#[derive(Debug, thiserror::Error)]
#[error(
    "with its headers the record has up to {bytes} bytes, and {max} are taken; raise the topic's max.message.bytes, and message.max.bytes if it is set"
)]
struct TooLarge {
    bytes: usize,
    max: usize,
}

/// See the module.
pub(crate) struct TopicSender {
    topic: String,
    group: String,
    dlt_headers: bool,
    producer: Producer,
    sizes: TopicSizes,
}

impl TopicSender {
    pub(crate) fn new(config: &KafkaConfig, topic: String) -> Result<Self, ConfigError> {
        let producer = Producer::new(config)?;
        let (group, sizes) = (config.group().to_owned(), TopicSizes::new(config.clone(), topic.clone()));
        Ok(Self { topic, group, dlt_headers: false, producer, sizes })
    }

    pub(crate) fn with_dlt_headers(mut self) -> Self {
        self.dlt_headers = true;
        self
    }

    /// The group that headers in Spring's form name, where they were asked for.
    pub(crate) fn dlt_group(&self) -> Option<&str> {
        self.dlt_headers.then_some(&self.group)
    }

    pub(crate) fn describe(&self) -> String {
        format!("Kafka topic {}", self.topic)
    }

    /// The largest batch that the topic takes, where the broker tells.
    pub(crate) async fn topic_max(&self) -> Option<usize> {
        self.sizes.bytes_max().await
    }

    /// Sends one record, and waits until the broker has it.
    pub(crate) async fn send(
        &self,
        head: CopyHead,
        payload: Option<&Bytes>,
        topic_max: Option<usize>,
    ) -> Result<(), PublishError> {
        let CopyHead { key, headers } = head;
        let bytes = RECORD_OVERHEAD_MAX
            + headers.size_max()
            + key.as_ref().map_or(0, Bytes::len)
            + payload.map_or(0, Bytes::len);
        let max = self.producer.bytes_max(topic_max);
        if bytes > max {
            self.sizes.doubt();
            return Err(PublishError::Refused(TooLarge { bytes, max }.into()));
        }
        let headers = headers.to_owned_headers().map_err(|error| PublishError::Refused(error.into()))?;
        let record = Outgoing { topic: &self.topic, key, payload, headers };
        let sent = self.producer.send(record, topic_max).await;
        if matches!(sent, Err(PublishError::Refused(_))) {
            self.sizes.doubt();
        }
        sent
    }
}

impl fmt::Debug for TopicSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TopicSender")
            .field("topic", &self.topic)
            .field("dlt_headers", &self.dlt_headers)
            .finish_non_exhaustive()
    }
}
