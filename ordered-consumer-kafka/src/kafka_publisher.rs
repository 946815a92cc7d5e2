//! The publisher: released events on their way to the retry topic.

use async_trait::async_trait;
use ordered_consumer::{EventPublisher, Published, ReleasedEvent};

use crate::{ConfigError, KafkaConfig, headers, topic_sender::TopicSender};

/// Sends released events to the retry topic.
///
/// * A copy has the original's key, value and headers, and [ours](crate::headers). Its timestamp is that of its sending,
///   so that the topic's retention does not count the time that an event was held.
/// * A key lands on the partition where Java's clients put it (`murmur2_random`).
/// * The producer is idempotent, and waits for all in-sync replicas. An entity's copies go out **one after the other,
///   each once the broker has the one before**: only so is nothing sent after one that failed, whatever fails. Many
///   entities go out together, in common batches.
/// * A copy that is larger than the topic's `max.message.bytes` is refused before it is sent, and its event goes back
///   in-process. Where the broker does not tell that limit (the client needs the operation DescribeConfigs), the
///   broker's answer shows it.
/// * A publish ends within `message.timeout.ms`, 20 s unless set, for each event; a full queue is waited for as long.
///   Dropped, it has sent a beginning of its slice, and perhaps one more.
///
/// The topic is not made by sending to it: see [`RetryTopic`](crate::RetryTopic).
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use ordered_consumer_kafka::{KafkaConfig, KafkaPublisher};
/// let config = KafkaConfig::new("localhost:9092", "billing");
/// let publisher = KafkaPublisher::new(&config, "billing.retry")?.with_dlt_headers();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct KafkaPublisher {
    sender: TopicSender,
}

impl KafkaPublisher {
    /// A publisher to this topic. It connects when it first publishes.
    ///
    /// # Errors
    /// [`ConfigError`]: a property is refused, by this crate or by librdkafka.
    pub fn new(config: &KafkaConfig, topic: impl Into<String>) -> Result<Self, ConfigError> {
        Ok(Self { sender: TopicSender::new(config, topic.into())? })
    }

    /// Copies also say where they came from in headers `kafka_dlt-original-*`, in the binary form that tools for Spring
    /// Kafka read.
    #[must_use]
    pub fn with_dlt_headers(self) -> Self {
        Self { sender: self.sender.with_dlt_headers() }
    }
}

#[async_trait]
impl EventPublisher for KafkaPublisher {
    fn describe(&self) -> String {
        self.sender.describe()
    }

    async fn publish(&self, events: &[ReleasedEvent]) -> Published {
        if events.is_empty() {
            return Published { count: 0, failed: None };
        }
        let topic_max = self.sender.topic_max().await;
        for (count, released) in events.iter().enumerate() {
            let head = headers::copy_head(&released.event, released.attempts, self.sender.dlt_group());
            let sent = self.sender.send(head, released.event.payload(), topic_max).await;
            if let Err(error) = sent {
                return Published { count, failed: Some(error) };
            }
        }
        Published { count: events.len(), failed: None }
    }
}
