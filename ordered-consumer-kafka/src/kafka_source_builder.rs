//! Options of a Kafka source.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    time::Duration,
};

use ordered_consumer::SourceError;
use rdkafka::ClientConfig;
use tokio::sync::mpsc::unbounded_channel;

use crate::{
    KafkaSource,
    plain_records::PlainRecords,
    poll_thread::PollThread,
    record_reader::RecordReader,
    source_link::{Link, Load},
    source_options::{Begin, SourceOptions},
};

/// Options of a [`KafkaSource`]. See [`KafkaSource::builder`].
#[must_use]
pub struct KafkaSourceBuilder {
    config: ClientConfig,
    topics: Vec<String>,
    retry_topic: Option<String>,
    release_timeout: Duration,
    commit_interval: Duration,
    close_timeout: Duration,
    buffer: Load,
    records: Box<dyn RecordReader>,
}

impl KafkaSourceBuilder {
    pub(crate) fn new<T: AsRef<str>>(config: ClientConfig, topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            config,
            topics: topics.into_iter().map(|topic| topic.as_ref().to_owned()).collect(),
            retry_topic: None,
            release_timeout: Duration::from_secs(45),
            commit_interval: Duration::from_secs(1),
            close_timeout: Duration::from_secs(30),
            buffer: Load { events: 4_096, bytes: 32 << 20 },
            records: Box::new(PlainRecords),
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

    /// How many events, and of how many bytes, wait between the broker's client and the engine: 4,096 and 32 MiB unless set.
    /// The client keeps some of its own: see its `queued.max.messages.kbytes`.
    pub fn buffer(mut self, events_max: usize, bytes_max: usize) -> Self {
        self.buffer = Load { events: events_max.max(1), bytes: bytes_max.max(1) };
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
        let Some(group) = self.config.get("group.id").map(str::to_owned) else {
            return Err(fatal("the configuration names no group: set `group.id`".to_owned()));
        };
        let mut config = self.config;
        let begin = Begin::from_config(&config)?;
        SourceOptions::impose(&mut config);
        let options = SourceOptions::new(&config, begin, self.topics, self.retry_topic, group)
            .with_times(self.release_timeout, self.commit_interval, self.close_timeout)
            .with_buffer(self.buffer);
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
            ended: false,
        })
    }
}
