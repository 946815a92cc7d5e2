//! What the client says is wrong, as far as it is not of one partition.

use std::time::{Duration, Instant};

use ordered_consumer::SourceError;
use rdkafka::{consumer::Consumer, error::RDKafkaErrorCode};

use super::PollThread;
use crate::source_link::Said;

/// What repeats itself is said this often.
const SAY_EVERY: Duration = Duration::from_secs(30);

impl PollThread {
    /// Whether it is time to say something of this kind again.
    pub(super) fn may_warn(&mut self, kind: &'static str) -> bool {
        let now = Instant::now();
        let said = self.warned.get(kind);
        let may = said.is_none_or(|said| now.duration_since(*said) >= SAY_EVERY);
        if may {
            self.warned.insert(kind, now);
        }
        may
    }

    pub(super) fn client_failed(&mut self, code: RDKafkaErrorCode, why: &str) {
        tracing::debug!(%code, why, "the broker's client reports an error");
        let group = &self.options.group;
        let topics = self.options.topic_list();
        let is = |codes: &[RDKafkaErrorCode]| codes.contains(&code);
        if is(&[RDKafkaErrorCode::GroupAuthorizationFailed]) {
            self.fatal(format!(
                "this client may not be a member of the group {group}: allow READ on the group ({why})"
            ));
        } else if is(&[RDKafkaErrorCode::TopicAuthorizationFailed]) {
            self.fatal(format!(
                "this client may not read a topic of {topics}: allow READ and DESCRIBE on it ({why})"
            ));
        } else if is(&[RDKafkaErrorCode::Fatal, RDKafkaErrorCode::FencedInstanceId]) {
            let said = self.client.client().fatal_error().map_or(why.to_owned(), |(_, said)| said);
            self.fatal(format!("the broker's client cannot go on as a member of the group {group}: {said}"));
        } else if is(&[RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic]) {
            // It may be that the broker does not know it yet.
            let due = Instant::now() + self.options.missing_topic_grace;
            self.check_topics_at.get_or_insert(due);
        } else if is(&[RDKafkaErrorCode::AllBrokersDown]) && self.may_warn("brokers") {
            self.say(Said::Failed(SourceError::Unavailable(why.to_owned().into())));
        } else if is(&[RDKafkaErrorCode::Authentication]) && self.may_warn("authentication") {
            let why = format!("the broker refuses who this client says it is: {why}");
            self.say(Said::Failed(SourceError::Unavailable(why.into())));
        }
    }

    fn fatal(&mut self, why: String) {
        if !self.failed {
            self.failed = true;
            self.say(Said::Failed(SourceError::Fatal { why, source: None }));
        }
    }

    pub(super) fn check_topics(&mut self, now: Instant) {
        if self.check_topics_at.is_some_and(|at| at <= now) {
            self.check_topics_at = None;
            self.look_up_topics();
        }
    }

    /// What the broker says of the topics, some time after one was not there.
    pub(super) fn topics_are(&mut self, topics: &[(String, Option<RDKafkaErrorCode>)]) {
        let unknown = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::UnknownTopic];
        let is_missing = |code: &Option<RDKafkaErrorCode>| code.is_some_and(|code| unknown.contains(&code));
        let missing: Vec<&str> =
            topics.iter().filter(|(_, code)| is_missing(code)).map(|(topic, _)| topic.as_str()).collect();
        if missing.is_empty() {
            return;
        }
        let missing = missing.join(", ");
        // A topic that was there and is gone is deleted, or being created again: its partitions are revoked, and it may come
        // back.
        if !self.options.waits_for_topics && !self.was_assigned {
            self.fatal(format!(
                "there is no topic {missing}: create it, correct its name, or let the source wait for it"
            ));
            return;
        }
        if self.may_warn("topics") {
            tracing::warn!(missing, "topics are missing, and waited for");
        }
        self.check_topics_at = Some(Instant::now() + SAY_EVERY);
    }

    /// An engine that asks for nothing, for longer than a member may be silent, does not take care of its streams any more:
    /// they are given to others, until it asks again.
    pub(super) fn mind_silence(&mut self) {
        let silent = self.link.silent_for() > self.options.poll_interval_max;
        if silent == self.is_silent || self.closing.is_some() {
            return;
        }
        self.is_silent = silent;
        if silent {
            tracing::warn!(after = ?self.options.poll_interval_max, "the source has not been asked for anything within `max.poll.interval.ms`; it leaves the group until it is asked");
            self.lose_everything();
            self.client.unsubscribe();
        } else {
            self.subscribe();
        }
    }

    pub(super) fn subscribe(&mut self) {
        let topics: Vec<&str> = self.options.all_topics().collect();
        if let Err(error) = self.client.subscribe(&topics) {
            self.fatal(format!("the topics {} cannot be subscribed to: {error}", self.options.topic_list()));
        }
    }
}
