//! Processes that read one topic of a real Kafka.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    checker::Sent,
    recorded::Plan,
    team::{Input, Team},
};
use crate::kafka::KafkaTopic;

/// How a process reads a topic.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KafkaReading {
    /// The topic.
    pub topic: String,
    /// The topic for copies; without one, failed events come back in the process.
    pub retry_topic: Option<String>,
    /// Where the broker is, the group, and whatever else is set.
    pub properties: BTreeMap<String, String>,
}

/// Processes, and the topic that they read.
pub type KafkaTeam = Team<KafkaTopic>;

impl KafkaTeam {
    /// Nothing runs yet. The seed decides the plan and whatever is drawn.
    #[must_use]
    pub fn new(program: &str, topic: KafkaTopic, plan: Plan, more: &[(&str, &str)], retry: bool) -> Self {
        let retry_topic = retry.then(|| format!("{}-retry", topic.name));
        if let Some(name) = &retry_topic {
            topic.make(name, 3);
        }
        let mut properties: BTreeMap<String, String> = [
            ("bootstrap.servers", &*topic.address),
            ("group.id", &*topic.group),
            ("topic.metadata.refresh.interval.ms", "2000"),
            ("reconnect.backoff.max.ms", "1000"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
        // With the new protocol the broker says both, and a client that says them is refused.
        let classic = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
        let classic = classic.iter().filter(|_| !more.contains(&("group.protocol", "consumer")));
        let more = classic.chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        properties.extend(more);
        let reading = KafkaReading { topic: topic.name.clone(), retry_topic, properties };
        Self::muster(program, topic, plan, reading, &crate::postgres::url())
    }
}

impl Input for KafkaTopic {
    const DONE: &'static str = "everything is committed";

    fn sent(&self) -> &Sent {
        &self.sent
    }

    fn send(&mut self, entities: Vec<String>) {
        Self::send(self, entities);
    }

    fn lag(&self) -> Option<i64> {
        Self::lag(self)
    }
}
