//! Asking brokers about topics, and making them.

use std::{sync::Arc, thread, time::Duration};

use ordered_consumer::display_safe;
use rdkafka::{
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::task::spawn_blocking;

use crate::{ConfigError, KafkaConfig, client_log::LoggingContext};

/// A topic, as the cluster tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TopicShape {
    pub(crate) partitions: i32,
    pub(crate) replication: i32,
}

/// An admin client. It is dropped where nobody waits, because that joins its thread.
pub(crate) struct Admin {
    client: Option<Arc<AdminClient<LoggingContext>>>,
    patience: Duration,
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            drop(thread::Builder::new().name("kafka admin end".into()).spawn(move || drop(client)));
        }
    }
}

impl Admin {
    /// Connects when it is first asked, and waits for each answer so long.
    pub(crate) fn new(config: &KafkaConfig, patience: Duration) -> Result<Self, ConfigError> {
        let client = config.admin_config()?.create_with_context(LoggingContext);
        let client = client.map_err(|error| KafkaConfig::client_error(&error))?;
        Ok(Self { client: Some(Arc::new(client)), patience })
    }

    fn client(&self) -> Result<&Arc<AdminClient<LoggingContext>>, KafkaError> {
        self.client.as_ref().ok_or(KafkaError::Canceled)
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new().request_timeout(Some(self.patience)).operation_timeout(Some(self.patience))
    }

    /// A topic's shape; none when there is no such topic.
    pub(crate) async fn shape(&self, topic: &str) -> Result<Option<TopicShape>, KafkaError> {
        let (client, patience, topic) = (Arc::clone(self.client()?), self.patience, topic.to_owned());
        let asked = spawn_blocking(move || {
            let metadata = client.inner().fetch_metadata(Some(&topic), patience)?;
            let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
                return Ok(None);
            };
            match found.error().map(RDKafkaErrorCode::from) {
                None => {}
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                    return Ok(None);
                }
                Some(code) => return Err(KafkaError::MetadataFetch(code)),
            }
            let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
            let replicas = found.partitions().iter().map(|partition| partition.replicas().len()).max();
            let shape = TopicShape {
                partitions: count(found.partitions().len()),
                replication: count(replicas.unwrap_or(0)),
            };
            // A topic that is just being made has none yet.
            Ok((shape.partitions > 0).then_some(shape))
        });
        asked.await.unwrap_or(Err(KafkaError::Canceled))
    }

    /// A topic's settings.
    pub(crate) async fn settings(&self, topic: &str) -> Result<ConfigResource, KafkaError> {
        let asked = [ResourceSpecifier::Topic(topic)];
        let answer = self.client()?.describe_configs(&asked, &self.options()).await?;
        match answer.into_iter().next() {
            Some(Ok(settings)) => Ok(settings),
            Some(Err(code)) => Err(KafkaError::AdminOp(code)),
            None => Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail)),
        }
    }

    /// The largest batch that a topic takes, where the broker tells.
    pub(crate) async fn bytes_max(&self, topic: &str) -> Result<Option<usize>, KafkaError> {
        let settings = self.settings(topic).await?;
        let value = settings.get("max.message.bytes").and_then(|entry| entry.value.as_ref());
        Ok(value.and_then(|bytes| bytes.parse().ok()))
    }

    /// Makes a topic; one that somebody else has made meanwhile is as good.
    pub(crate) async fn create(&self, topic: &NewTopic<'_>) -> Result<(), KafkaError> {
        let answer = self.client()?.create_topics([topic], &self.options()).await?;
        match answer.into_iter().next() {
            Some(Ok(_)) | Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(()),
            Some(Err((name, code))) => {
                tracing::debug!(topic = %display_safe(&name), %code, "the topic was not created");
                Err(KafkaError::AdminOp(code))
            }
            None => Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail)),
        }
    }
}
