//! The mirror of parked events, for tools that expect to find them in a topic.

use async_trait::async_trait;
use ordered_consumer::{ParkedEvent, ParkedPublisher, PublishError, Timestamp};

use crate::{
    ConfigError, KafkaConfig,
    headers::{self, CopyHead},
    topic_sender::TopicSender,
};

/// Sends a copy of each parked event to a topic, for people and their tools.
///
/// The failure log has the event, and only what operators do there brings it back: nothing ever reads this topic for the
/// consumer, and what is done to its records changes nothing.
///
/// A copy has the original's key, value and headers, where it came from ([`headers::TOPIC`], [`headers::PARTITION`],
/// [`headers::OFFSET`], [`headers::ENTITY`]), and why it is parked: [`headers::CONSUMER`], [`headers::CAUSE`],
/// [`headers::ATTEMPTS`], and of its last failure [`headers::ERROR_CLASS`], [`headers::ERROR`] (bounded by the failure
/// log) and [`headers::FAILED_AT`]. A park that is mirrored twice has the same [`headers::VERSION`] twice.
///
/// A copy that the topic does not take for its size is refused, and is in the failure log only. The topic is not made by
/// sending to it: see [`RetryTopic::of_parked`](crate::RetryTopic::of_parked).
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ordered_consumer_kafka::{KafkaConfig, ParkedTopic, RetryTopic};
/// let config = KafkaConfig::new("localhost:9092", "billing");
/// let topic = RetryTopic::of_parked(config.group());
/// topic.ensure(&config, &["orders"]).await?;
/// let parked = ParkedTopic::new(&config, topic.name())?.with_dlt_headers();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ParkedTopic {
    sender: TopicSender,
}

impl ParkedTopic {
    /// A mirror in this topic. It connects when the first event is parked.
    ///
    /// # Errors
    /// [`ConfigError`]: a property is refused, by this crate or by librdkafka.
    pub fn new(config: &KafkaConfig, topic: impl Into<String>) -> Result<Self, ConfigError> {
        Ok(Self { sender: TopicSender::new(config, topic.into())? })
    }

    /// Copies also say where they came from, and why they are here, in headers `kafka_dlt-original-*` and
    /// `kafka_dlt-exception-*`, in the form that tools for Spring Kafka read.
    #[must_use]
    pub fn with_dlt_headers(self) -> Self {
        Self { sender: self.sender.with_dlt_headers() }
    }

    fn head(&self, parked: &ParkedEvent) -> CopyHead {
        let mut head = headers::copy_head(&parked.event, parked.attempts, self.sender.dlt_group());
        let headers = &mut head.headers;
        headers.push(headers::CONSUMER, parked.consumer.as_str().to_owned());
        headers.push(headers::CAUSE, parked.cause.as_str());
        headers.push(headers::VERSION, parked.version.to_string());
        if let Some(failure) = &parked.last_failure {
            headers.push(headers::ERROR_CLASS, failure.class.to_string());
            headers.push(headers::ERROR, failure.text.to_string());
            headers.push(headers::FAILED_AT, millis(failure.at).to_string());
            if self.sender.dlt_group().is_some() {
                headers.push(headers::DLT_CLASS, failure.class.to_string());
                headers.push(headers::DLT_MESSAGE, failure.text.to_string());
            }
        }
        head
    }
}

fn millis(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(1_000)
}

#[async_trait]
impl ParkedPublisher for ParkedTopic {
    fn describe(&self) -> String {
        self.sender.describe()
    }

    async fn publish(&self, parked: &ParkedEvent) -> Result<(), PublishError> {
        let topic_max = self.sender.topic_max().await;
        self.sender.send(self.head(parked), parked.event.payload(), topic_max).await
    }
}
