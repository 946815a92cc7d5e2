//! What a source goes by, worked out once.

use std::time::Duration;

use rdkafka::ClientConfig;

use crate::{StartAt, source_link::Load};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct SourceOptions {
    pub(crate) topics: Vec<String>,
    pub(crate) retry_topic: Option<String>,
    pub(crate) group: String,
    pub(crate) start_at: StartAt,
    pub(crate) release_timeout: Duration,
    pub(crate) commit_interval: Duration,
    pub(crate) close_timeout: Duration,
    pub(crate) buffer: Load,
    /// How long a proof of membership counts, from when it was asked for.
    pub(crate) lease: Duration,
    pub(crate) poll_interval_max: Duration,
    /// Goes on with the earliest event left where the topic's retention has removed some that were not read.
    pub(crate) skips_removed: bool,
    pub(crate) waits_for_topics: bool,
    /// A topic may be unknown for so long, as while it is being created.
    pub(crate) missing_topic_grace: Duration,
    /// How long the broker is waited for.
    pub(crate) request_timeout: Duration,
}

fn millis(config: &ClientConfig, name: &str, otherwise: u64) -> Duration {
    Duration::from_millis(config.get(name).and_then(|value| value.parse().ok()).unwrap_or(otherwise))
}

/// How long a proof of membership counts, from when it was asked for.
fn lease(config: &ClientConfig, broker_session: Duration) -> Duration {
    let (session, heartbeat) = if config.get("group.protocol") == Some("consumer") {
        // The broker sets both and tells a client neither; by its own rules no heartbeat comes later than this.
        (broker_session, broker_session / 3)
    } else {
        (millis(config, "session.timeout.ms", 45_000), millis(config, "heartbeat.interval.ms", 3_000))
    };
    // The broker counts from the last heartbeat, which may be an interval older than the commit that proves it. A
    // tenth of the session is for clocks that do not run alike, and for the way here.
    session.saturating_sub(heartbeat).saturating_sub(session / 10)
}

impl SourceOptions {
    pub(crate) fn new(
        config: &ClientConfig,
        broker_session: Duration,
        start_at: StartAt,
        topics: Vec<String>,
        retry_topic: Option<String>,
        group: String,
    ) -> Self {
        Self {
            topics,
            retry_topic,
            group,
            start_at,
            release_timeout: Duration::from_secs(45),
            commit_interval: Duration::from_secs(1),
            close_timeout: Duration::from_secs(30),
            buffer: Load::default(),
            lease: lease(config, broker_session),
            poll_interval_max: millis(config, "max.poll.interval.ms", 300_000),
            skips_removed: false,
            waits_for_topics: false,
            missing_topic_grace: Duration::from_secs(10),
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

    /// Settings that the source depends on, beside those that every consumer of this crate has.
    pub(crate) fn impose(config: &mut ClientConfig) {
        // What is paused is still fetched ahead, for each partition: the client's 64 MiB would add up.
        if config.get("queued.max.messages.kbytes").is_none() {
            config.set("queued.max.messages.kbytes", "8192");
        }
        // They tell where partitions end, past records that nobody is given.
        if config.get("statistics.interval.ms").is_none() {
            config.set("statistics.interval.ms", "5000");
        }
    }

    pub(crate) fn all_topics(&self) -> impl Iterator<Item = &str> {
        self.topics.iter().chain(&self.retry_topic).map(String::as_str)
    }

    pub(crate) fn topic_list(&self) -> String {
        self.all_topics().collect::<Vec<_>>().join(", ")
    }

    pub(crate) fn describe(&self) -> String {
        let topics = self.topics.join(", ");
        match &self.retry_topic {
            Some(retry) => format!("Kafka topics {topics}, retried through {retry} (group {})", self.group),
            None => format!("Kafka topics {topics} (group {})", self.group),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease_of(properties: &[(&str, &str)], broker_session: u64) -> Duration {
        let mut config = ClientConfig::new();
        for (key, value) in properties {
            config.set(*key, *value);
        }
        lease(&config, Duration::from_millis(broker_session))
    }

    #[test]
    fn a_lease_ends_before_the_broker_gives_the_partition_to_somebody_else() {
        assert_eq!(lease_of(&[], 1), Duration::from_millis(37_500));
        let classic = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
        assert_eq!(lease_of(&classic, 90_000), Duration::from_millis(4_900));
        let new = [("group.protocol", "consumer")];
        assert_eq!(lease_of(&new, 45_000), Duration::from_millis(25_500));
        assert_eq!(lease_of(&new, 6_000), Duration::from_millis(3_400));
    }

    #[test]
    fn a_session_as_short_as_a_heartbeat_leaves_no_lease_and_not_a_negative_one() {
        let properties = [("session.timeout.ms", "1000"), ("heartbeat.interval.ms", "3000")];
        assert_eq!(lease_of(&properties, 45_000), Duration::ZERO);
    }
}
