//! Options of a Kafka source.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    time::Duration,
};

use ordered_consumer::SourceError;
use tokio::sync::mpsc::unbounded_channel;

use crate::{
    ConfigError, KafkaConfig, KafkaSource, RecordMapping,
    poll_thread::PollThread,
    source_link::{Link, Load},
    source_options::SourceOptions,
};

/// Options of a [`KafkaSource`]. See [`KafkaSource::builder`].
#[must_use]
pub struct KafkaSourceBuilder {
    config: KafkaConfig,
    topics: Vec<String>,
    retry_topic: Option<String>,
    release_timeout: Duration,
    commit_interval: Duration,
    close_timeout: Duration,
    broker_session: Duration,
    buffer: Load,
    skips_removed: bool,
    waits_for_topics: bool,
    missing_topic_grace: Duration,
    records: RecordMapping,
}

impl KafkaSourceBuilder {
    pub(crate) fn new<T: AsRef<str>>(config: KafkaConfig, topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            config,
            topics: topics.into_iter().map(|topic| topic.as_ref().to_owned()).collect(),
            retry_topic: None,
            release_timeout: Duration::from_secs(45),
            commit_interval: Duration::from_secs(1),
            close_timeout: Duration::from_secs(30),
            broker_session: Duration::from_secs(45),
            buffer: Load { events: 8_192, bytes: 32 << 20 },
            skips_removed: false,
            waits_for_topics: false,
            missing_topic_grace: Duration::from_secs(10),
            records: RecordMapping::default(),
        }
    }

    /// Reads copies of released events from this topic, too.
    pub fn retry_topic(mut self, topic: impl Into<String>) -> Self {
        self.retry_topic = Some(topic.into());
        self
    }

    /// How long a revoked partition is kept until the engine lets go of it; 45 s unless set, which is 15 s more than the
    /// engine's own limit for running handlers. Never longer than nine tenths of `max.poll.interval.ms`, after which the
    /// broker takes the partitions away anyway. When it is over, nothing of the partition starts any more, and it is given up.
    pub fn release_timeout(mut self, timeout: Duration) -> Self {
        self.release_timeout = timeout;
        self
    }

    /// How often settled offsets are committed; every second unless set. They are committed at once when a partition is
    /// given up and when the source is closed.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.commit_interval = interval;
        self
    }

    /// How long [`close`](ordered_consumer::EventSource::close) waits for the broker; 30 s unless set.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// How long the broker waits for a member of the group that is silent, where `group.protocol` is `consumer` and the
    /// broker's `group.consumer.session.timeout.ms` (or the group's `consumer.session.timeout.ms`) is not its default of 45 s:
    /// with this protocol a client is not told. Nothing of a partition starts later than that after the last proof of
    /// membership, so a longer time than the broker's would let two processes run an entity at once. With the classic
    /// protocol `session.timeout.ms` says it, and this does nothing.
    pub fn broker_session_timeout(mut self, timeout: Duration) -> Self {
        self.broker_session = timeout;
        self
    }

    /// How many events, and of how many bytes, wait between the broker's client and the engine: 8,192 and 32 MiB unless set.
    /// It may be more by one batch, of 1,024 events or 1 MiB. The client keeps some of its own, for each partition: see
    /// `queued.max.messages.kbytes`, which is 8,192 unless set.
    pub fn buffer(mut self, events_max: usize, bytes_max: usize) -> Self {
        self.buffer = Load { events: events_max.max(1), bytes: bytes_max.max(1) };
        self
    }

    /// Where a topic's retention has removed events that were not read: goes on with the earliest one left, and logs how
    /// many are gone. Unless set, the stream stops there and waits for an operator.
    pub fn skip_removed(mut self) -> Self {
        self.skips_removed = true;
        self
    }

    /// Waits for topics that are not there. Unless set, a topic that is missing at the beginning is a
    /// [`SourceError::Fatal`] once it has been missing for [this long](Self::missing_topic_grace).
    pub fn wait_for_topics(mut self) -> Self {
        self.waits_for_topics = true;
        self
    }

    /// How long a topic may be unknown to the broker at the beginning, as while it is being created; 10 s unless set.
    pub fn missing_topic_grace(mut self, grace: Duration) -> Self {
        self.missing_topic_grace = grace;
        self
    }

    /// What makes events of records: entities are the record keys unless set.
    pub fn records(mut self, records: RecordMapping) -> Self {
        self.records = records;
        self
    }

    /// Joins the group and begins.
    ///
    /// # Errors
    /// As [`KafkaSource::subscribe`].
    pub fn subscribe(self) -> Result<KafkaSource, SourceError> {
        let fatal = |why: String| SourceError::Fatal { why, source: None };
        if self.topics.is_empty() {
            return Err(fatal("no topic is named".to_owned()));
        }
        let refused = |error: ConfigError| SourceError::Fatal {
            why: "the configuration cannot be used".to_owned(),
            source: Some(Box::new(error)),
        };
        if self.config.group().is_empty() {
            return Err(fatal("the configuration names no consumer group: set `group.id`".to_owned()));
        }
        let mut config = self.config.consumer_config().map_err(refused)?;
        SourceOptions::impose(&mut config);
        let start_at = self.config.start_at().map_err(refused)?;
        let group = self.config.group().to_owned();
        let mut options =
            SourceOptions::new(&config, self.broker_session, start_at, self.topics, self.retry_topic, group)
                .with_times(self.release_timeout, self.commit_interval, self.close_timeout)
                .with_buffer(self.buffer);
        options.skips_removed = self.skips_removed;
        options.waits_for_topics = self.waits_for_topics;
        options.missing_topic_grace = self.missing_topic_grace;
        let describes = options.describe();
        let (commands, commanded) = mpsc::channel();
        let (say, said) = unbounded_channel();
        let link = Arc::new(Link::default());
        let (close_timeout, limit) = (options.close_timeout, options.buffer);
        PollThread::start(
            &config,
            options,
            self.records,
            (commands.clone(), commanded),
            say,
            Arc::clone(&link),
        )?;
        Ok(KafkaSource {
            describes,
            said,
            commands,
            link,
            limit,
            tags: HashMap::new(),
            close_timeout,
            closed: false,
            ended: false,
        })
    }
}
