//! Why a record was not sent, and whether that may pass.

use ordered_consumer::PublishError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Why a record was not sent.
#[derive(Debug, thiserror::Error)]
#[error("{} (topic {topic})", explain(source))]
pub(crate) struct SendError {
    topic: String,
    #[source]
    source: KafkaError,
}

impl SendError {
    pub(crate) fn new(topic: String, source: KafkaError) -> Self {
        Self { topic, source }
    }
}

impl From<SendError> for PublishError {
    fn from(error: SendError) -> Self {
        if is_for_good(&error.source) { Self::Refused(error.into()) } else { Self::Unavailable(error.into()) }
    }
}

/// Whether the broker will say the same of this record tomorrow. Everything else may pass, be it by an operator's doing.
fn is_for_good(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge
                | RDKafkaErrorCode::MessageBatchTooLarge
                | RDKafkaErrorCode::InvalidMessageSize
                | RDKafkaErrorCode::InvalidRecord
                | RDKafkaErrorCode::PolicyViolation
        )
    )
}

fn explain(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::MessageBatchTooLarge) => {
            "the record is larger than the client or the topic takes; raise message.max.bytes and the topic's max.message.bytes"
        }
        Some(RDKafkaErrorCode::InvalidRecord) => {
            "the broker takes no such record; a compacted topic, for instance, takes none without a key"
        }
        Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
            "the topic does not exist"
        }
        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed) => {
            "the client may not write to the topic; it needs the operations Write and Describe"
        }
        Some(RDKafkaErrorCode::MessageTimedOut) => "the broker did not take the record in time",
        Some(RDKafkaErrorCode::QueueFull) => "the client's queue stayed full",
        _ => "the record was not sent",
    }
}
