//! The topic through which released events come back.

use std::time::Duration;

use rdkafka::{
    admin::{NewTopic, TopicReplication},
    error::{KafkaError, RDKafkaErrorCode},
};
use tokio::time::{Instant, sleep};

use crate::{
    KafkaConfig, TopicError,
    admin::{Admin, TopicShape},
};

/// How much larger than its original a copy may be: the new topic takes so much more.
const HEADERS_ROOM: usize = 65_536;
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How long the brokers are waited for, each time that they are asked.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a new topic may take until all brokers know it.
const SPREAD: Duration = Duration::from_secs(30);
/// How long a main topic is believed to be merely unknown to the broker that was asked.
const LATE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The topic through which released events come back, or to which parked ones are mirrored: its name, and how to make it
/// where it is missing.
///
/// A topic that exists is taken as it is, whatever its partitions: a copy's order needs no more than that all copies of a
/// key are in one partition. It should not be compacted, which would leave copies out until the failure log publishes
/// them again.
///
/// A topic that is missing is created with
/// * as many partitions as the largest of the main topics has, so that as many processes can share the work;
/// * that topic's replication factor;
/// * `cleanup.policy=delete`, and `retention.ms` of 7 days unless told: a copy that is gone is published again by the
///   failure log, so it need not be kept for longer than a consumer may be behind;
/// * the largest `max.message.bytes` of the main topics and 64 KiB for our headers, where the brokers tell.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use ordered_consumer_kafka::{KafkaConfig, KafkaPublisher, RetryTopic};
/// let config = KafkaConfig::new("localhost:9092", "billing");
/// let retry = RetryTopic::of_group(config.group());
/// retry.ensure(&config, &["orders", "refunds"]).await?;
/// let publisher = KafkaPublisher::new(&config, retry.name())?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryTopic {
    name: String,
    may_create: bool,
    partitions: Option<i32>,
    replication: Option<i32>,
    retention: Duration,
    patience: Duration,
}

/// What [`RetryTopic::ensure`] found or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnsuredTopic {
    /// How many partitions the topic has.
    pub partitions: i32,
    /// Whether it was not there before.
    pub created: bool,
}

impl RetryTopic {
    /// A topic of this name.
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            may_create: true,
            partitions: None,
            replication: None,
            retention: RETENTION,
            patience: PATIENCE,
        }
    }

    /// The topic that a group's released events come back through, unless another is named: `GROUP.retry`.
    #[must_use]
    pub fn of_group(group: &str) -> Self {
        Self::named(format!("{group}.retry"))
    }

    /// The topic to which a group's parked events are mirrored, unless another is named: `GROUP.parked`. Its retention
    /// should be longer than that of a retry topic.
    #[must_use]
    pub fn of_parked(group: &str) -> Self {
        Self::named(format!("{group}.parked")).retention(RETENTION.saturating_mul(4))
    }

    /// Whether it may be created where it is missing. It may, unless this says no.
    #[must_use]
    pub fn may_create(mut self, may: bool) -> Self {
        self.may_create = may;
        self
    }

    /// How many partitions a new one has; as many as the largest main topic, unless this says otherwise.
    #[must_use]
    pub fn partitions(mut self, partitions: i32) -> Self {
        self.partitions = Some(partitions.max(1));
        self
    }

    /// How many replicas a new one has; as many as the main topic with the most, unless this says otherwise.
    #[must_use]
    pub fn replication(mut self, replicas: i32) -> Self {
        self.replication = Some(replicas.max(1));
        self
    }

    /// How long a new one keeps its records; 7 days unless this says otherwise.
    #[must_use]
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How long the brokers are waited for, each time that they are asked; 15 s unless this says otherwise.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sees to it that the topic is there. Several processes may do so at once; dropped, it has created the topic or
    /// not, and may be called again.
    ///
    /// # Errors
    /// [`TopicError`]: a main topic is missing, or this one is and is not or cannot be created.
    pub async fn ensure(
        &self,
        config: &KafkaConfig,
        main_topics: &[&str],
    ) -> Result<EnsuredTopic, TopicError> {
        let admin = Admin::new(config, self.patience)?;
        let mut main = TopicShape { partitions: 1, replication: 1 };
        for topic in main_topics {
            let shape = self.wait_for(&admin, topic, LATE).await?;
            let shape = shape.ok_or_else(|| TopicError::Missing { topic: (*topic).to_owned() })?;
            main.partitions = main.partitions.max(shape.partitions);
            main.replication = main.replication.max(shape.replication);
        }
        if let Some(found) = self.look(&admin, &self.name).await? {
            return Ok(EnsuredTopic { partitions: found.partitions, created: false });
        }
        let partitions = self.partitions.unwrap_or(main.partitions);
        let replication = self.replication.unwrap_or(main.replication);
        if !self.may_create {
            return Err(TopicError::CreationNotAllowed { topic: self.name.clone(), partitions });
        }
        self.create(&admin, (partitions, replication), main_topics).await?;
        tracing::info!(topic = self.name, partitions, replication, "a topic was created");
        match self.wait_for(&admin, &self.name, SPREAD).await? {
            Some(made) => Ok(EnsuredTopic { partitions: made.partitions, created: true }),
            None => {
                let unknown = KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition);
                Err(TopicError::of_look(&self.name, unknown))
            }
        }
    }

    async fn look(&self, admin: &Admin, topic: &str) -> Result<Option<TopicShape>, TopicError> {
        admin.shape(topic).await.map_err(|error| TopicError::of_look(topic, error))
    }

    async fn create(
        &self,
        admin: &Admin,
        (partitions, replication): (i32, i32),
        main_topics: &[&str],
    ) -> Result<(), TopicError> {
        let retention = self.retention.as_millis().min(i64::MAX.unsigned_abs().into()).to_string();
        let mut bytes_max = None;
        for topic in main_topics {
            // Who may not ask gets the broker's default, and copies that do not fit go back in-process.
            bytes_max = bytes_max.max(admin.bytes_max(topic).await.ok().flatten());
        }
        let limit = i32::MAX.unsigned_abs() as usize;
        let bytes_max = bytes_max.map(|bytes| bytes.saturating_add(HEADERS_ROOM).min(limit).to_string());
        let mut topic = NewTopic::new(&self.name, partitions, TopicReplication::Fixed(replication))
            .set("cleanup.policy", "delete")
            .set("retention.ms", &retention);
        if let Some(bytes_max) = &bytes_max {
            topic = topic.set("max.message.bytes", bytes_max);
        }
        let made = admin.create(&topic).await;
        made.map_err(|error| TopicError::of_creation(&self.name, (partitions, replication), error))
    }

    /// Brokers hear of a new topic one after the other, and one that was made just before may not be known yet.
    async fn wait_for(
        &self,
        admin: &Admin,
        topic: &str,
        patience: Duration,
    ) -> Result<Option<TopicShape>, TopicError> {
        let give_up = Instant::now() + patience;
        loop {
            let found = self.look(admin, topic).await?;
            if found.is_some() || Instant::now() >= give_up {
                return Ok(found);
            }
            sleep(LOOK_EVERY).await;
        }
    }
}
