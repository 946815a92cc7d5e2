//! Why a topic that is needed is not there.

use ordered_consumer::BoxError;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::ConfigError;

/// Why a topic that is needed is not there, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The configuration cannot be used.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// A topic to be read does not exist.
    #[error("the topic {topic} does not exist; create it, or correct its name")]
    Missing {
        /// The topic.
        topic: String,
    },
    /// No topic can have this name.
    #[error(
        "no topic can be named {topic:?}: a name has 1 to 249 letters, digits, dots, underscores and hyphens"
    )]
    Name {
        /// The name.
        topic: String,
    },
    /// The topic does not exist, and may not be created.
    #[error(
        "the topic {topic} does not exist, and creating it is not allowed; create it with cleanup.policy=delete and {partitions} partitions, as many as the topics whose events come back through it"
    )]
    CreationNotAllowed {
        /// The topic.
        topic: String,
        /// How many partitions it should have.
        partitions: i32,
    },
    /// The brokers refuse to show or make the topic for lack of rights.
    #[error("the brokers do not let this client {operation} the topic {topic}; {remedy}")]
    NotAuthorized {
        /// The topic.
        topic: String,
        /// What was tried.
        operation: &'static str,
        /// What to do.
        remedy: &'static str,
        /// What the client said.
        #[source]
        source: BoxError,
    },
    /// The brokers refuse to make the topic as it was asked for.
    #[error(
        "the brokers refuse to create the topic {topic} with {partitions} partitions and {replication} replicas; create it by hand, or ask for other numbers"
    )]
    Refused {
        /// The topic.
        topic: String,
        /// Partitions that were asked for.
        partitions: i32,
        /// Replicas that were asked for.
        replication: i32,
        /// What the client said.
        #[source]
        source: BoxError,
    },
    /// The brokers do not answer, or cannot at the moment: it may be tried again.
    #[error("the brokers do not say whether there is a topic {topic}")]
    Unavailable {
        /// The topic.
        topic: String,
        /// What the client said.
        #[source]
        source: BoxError,
    },
}

/// rdkafka does not count an admin operation's error among those that have a code.
fn code(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    if let KafkaError::AdminOp(code) = error { Some(*code) } else { error.rdkafka_error_code() }
}

fn is_authorization(error: &KafkaError) -> bool {
    matches!(
        code(error),
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::ClusterAuthorizationFailed
                | RDKafkaErrorCode::GroupAuthorizationFailed
        )
    )
}

impl TopicError {
    /// An error of looking at a topic.
    pub(crate) fn of_look(topic: &str, error: KafkaError) -> Self {
        let topic = topic.to_owned();
        if is_authorization(&error) {
            let remedy = "grant the operation Describe on it";
            return Self::NotAuthorized { topic, operation: "see", remedy, source: error.into() };
        }
        if code(&error) == Some(RDKafkaErrorCode::InvalidTopic) {
            return Self::Name { topic };
        }
        Self::Unavailable { topic, source: error.into() }
    }

    /// An error of making one.
    pub(crate) fn of_creation(topic: &str, (partitions, replication): (i32, i32), error: KafkaError) -> Self {
        let topic = topic.to_owned();
        if is_authorization(&error) {
            let remedy = "grant the operation Create on it, or create it by hand";
            return Self::NotAuthorized { topic, operation: "create", remedy, source: error.into() };
        }
        let refused = matches!(
            code(&error),
            Some(
                RDKafkaErrorCode::PolicyViolation
                    | RDKafkaErrorCode::InvalidReplicationFactor
                    | RDKafkaErrorCode::InvalidPartitions
                    | RDKafkaErrorCode::InvalidConfig
                    | RDKafkaErrorCode::InvalidRequest
            )
        );
        if refused {
            return Self::Refused { topic, partitions, replication, source: error.into() };
        }
        Self::Unavailable { topic, source: error.into() }
    }
}
