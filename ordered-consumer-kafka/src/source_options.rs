//! What a source goes by, worked out once.

use std::time::Duration;

use ordered_consumer::SourceError;
use rdkafka::ClientConfig;

use crate::source_link::Load;

/// Where a partition without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    Earliest,
    Latest,
    /// It does not: that is an error.
    Nowhere,
}

impl Begin {
    /// Earliest unless configured: whoever consumes in order wants what is there.
    pub(crate) fn from_config(config: &ClientConfig) -> Result<Self, SourceError> {
        match config.get("auto.offset.reset").unwrap_or("earliest") {
            "earliest" | "smallest" | "beginning" => Ok(Self::Earliest),
            "latest" | "largest" | "end" => Ok(Self::Latest),
            "error" | "none" => Ok(Self::Nowhere),
            other => Err(SourceError::Fatal {
                why: format!("`auto.offset.reset` is `{other}`, and may be earliest, latest or none"),
                source: None,
            }),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct SourceOptions {
    pub(crate) topics: Vec<String>,
    pub(crate) retry_topic: Option<String>,
    pub(crate) group: String,
    pub(crate) begin: Begin,
    pub(crate) release_timeout: Duration,
    pub(crate) commit_interval: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) buffer: Load,
    /// How long a proof of membership counts, from when it was asked for.
    pub(crate) lease: Duration,
    pub(crate) poll_interval_max: Duration,
    /// How long the broker is waited for.
    pub(crate) request_timeout: Duration,
}

fn millis(config: &ClientConfig, name: &str, otherwise: u64) -> Duration {
    Duration::from_millis(config.get(name).and_then(|value| value.parse().ok()).unwrap_or(otherwise))
}

impl SourceOptions {
    pub(crate) fn new(
        config: &ClientConfig,
        begin: Begin,
        topics: Vec<String>,
        retry_topic: Option<String>,
        group: String,
    ) -> Self {
        let session = millis(config, "session.timeout.ms", 45_000);
        let heartbeat = millis(config, "heartbeat.interval.ms", 3_000);
        // The broker counts from the last heartbeat, which may be an interval older than the commit that proves it. A
        // tenth of the session is for clocks that do not run alike, and for the way here.
        let lease = session.saturating_sub(heartbeat).saturating_sub(session / 10);
        Self {
            topics,
            retry_topic,
            group,
            begin,
            release_timeout: Duration::from_secs(45),
            commit_interval: Duration::from_secs(1),
            close_timeout: Duration::from_secs(30),
            buffer: Load::default(),
            lease,
            poll_interval_max: millis(config, "max.poll.interval.ms", 300_000),
            request_timeout: Duration::from_secs(10),
        }
    }

    pub(crate) fn with_times(mut self, release: Duration, commit: Duration, close: Duration) -> Self {
        // After `max.poll.interval.ms` the broker goes on without a member that has not rejoined.
        self.release_timeout = release.min(self.poll_interval_max * 9 / 10);
        self.commit_interval = commit;
        self.close_timeout = close;
        self
    }

    pub(crate) fn with_buffer(mut self, buffer: Load) -> Self {
        self.buffer = buffer;
        self
    }

    /// Settings that the source depends on.
    pub(crate) fn impose(config: &mut ClientConfig) {
        config.set("enable.auto.commit", "false");
        config.set("enable.auto.offset.store", "false");
        config.set("enable.partition.eof", "true");
        // The client never jumps by itself: an offset that is not there is for an operator to decide about.
        config.set("auto.offset.reset", "error");
        // A rebalance then takes away only what goes to somebody else.
        if config.get("partition.assignment.strategy").is_none()
            && config.get("group.protocol") != Some("consumer")
        {
            config.set("partition.assignment.strategy", "cooperative-sticky");
        }
        if config.get("statistics.interval.ms").is_none() {
            config.set("statistics.interval.ms", "5000");
        }
    }

    pub(crate) fn describe(&self) -> String {
        let topics = self.topics.join(", ");
        match &self.retry_topic {
            Some(retry) => format!("Kafka topics {topics}, retried through {retry} (group {})", self.group),
            None => format!("Kafka topics {topics} (group {})", self.group),
        }
    }
}
