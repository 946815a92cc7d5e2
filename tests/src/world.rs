//! A broker, a failure log, and what was sent.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use ordered_consumer::{
    ConsumerName, Event, FailureLog, GateKey, GateQuery, GatedEntity, Index, MemoryFailureLog, Operator,
    OrderedConsumer, RetryPolicy, StreamName, Totals,
    in_memory_broker::{GroupOptions, InMemoryBroker, InMemorySource},
};

use crate::{Recorder, Running, Scripted, eventually, order};

/// The consumer's name, and its group's.
pub const NAME: &str = "billing";
/// The topic.
pub const TOPIC: &str = "orders";

/// An event that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Where it went.
    pub stream: StreamName,
    /// Its place there.
    pub index: Index,
    /// Its entity.
    pub entity: Bytes,
    /// Its payload.
    pub text: String,
}

impl From<&Event> for Sent {
    fn from(event: &Event) -> Self {
        let (stream, entity) = (event.stream().clone(), event.entity().clone());
        Self { stream, index: event.index(), entity, text: crate::recorder::text_of(event) }
    }
}

/// What outlives the consumers of a test: the broker with one topic, and the failure log. Clones are the same world.
#[derive(Clone, Debug)]
pub struct World {
    /// The broker.
    pub broker: InMemoryBroker,
    /// What keeps failures.
    pub log: MemoryFailureLog,
    sent: Arc<Mutex<Vec<Sent>>>,
}

/// A retry after a second, then after two, and so on; none in place, no jitter.
#[must_use]
pub fn seconds() -> RetryPolicy {
    RetryPolicy::exponential(Duration::from_secs(1), 2.0).immediate(0).jitter(0.0)
}

/// A retry after a millisecond, for failure logs whose clock is not a paused one.
#[must_use]
pub fn at_once() -> RetryPolicy {
    RetryPolicy::fixed(Duration::from_millis(1)).immediate(0).jitter(0.0)
}

#[expect(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "this is for tests, which fail by panicking"
)]
impl World {
    /// A topic with so many partitions, in a broker of its own.
    #[must_use]
    pub fn with_partitions(partitions: u32) -> Self {
        let broker = InMemoryBroker::new();
        broker.create_topic(TOPIC, partitions).expect("a new broker has no topics");
        broker.create_group(NAME, GroupOptions::default());
        Self { broker, log: MemoryFailureLog::new(), sent: Arc::default() }
    }

    /// A topic with one partition, with these events.
    #[must_use]
    pub fn with(texts: &[&str]) -> Self {
        let world = Self::with_partitions(1);
        world.send(texts);
        world
    }

    /// Sends events, each named by its entity and a number: `a1`, `a2`, `b1`.
    pub fn send(&self, texts: &[&str]) {
        for text in texts {
            let entity = text.trim_end_matches(|digit: char| digit.is_ascii_digit());
            self.send_to(entity, text);
        }
    }

    /// Sends an event of this entity, and says where it went.
    pub fn send_to(&self, entity: &str, text: &str) -> (StreamName, Index) {
        let sent = self.broker.publish(TOPIC, entity.to_owned(), text.to_owned());
        let (stream, index) = sent.expect("the topic takes events");
        let entity = Bytes::from(entity.to_owned());
        let sent = Sent { stream: stream.clone(), index, entity, text: text.to_owned() };
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        (stream, index)
    }

    /// What was sent.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A new member of the consumer's group.
    #[must_use]
    pub fn source(&self) -> InMemorySource {
        self.broker.subscribe(NAME, &[TOPIC]).expect("there is such a topic")
    }

    /// A consumer with this world's log, which retries by the second.
    #[must_use]
    pub fn consumer(&self, handler: &Scripted) -> OrderedConsumer<Scripted> {
        consumer(handler, self.log.clone())
    }

    /// Starts such a consumer as a new member of the group.
    #[must_use]
    pub fn start(&self, handler: &Scripted) -> Running<Scripted> {
        Running::start(self.consumer(handler), self.source())
    }

    /// The name of a partition's stream.
    #[must_use]
    pub fn stream(&self, partition: u32) -> StreamName {
        StreamName::new(format!("{TOPIC}/{partition}")).expect("a topic's name is a name")
    }

    /// The first partition's gate of an entity.
    #[must_use]
    pub fn key(&self, entity: &str) -> GateKey {
        GateKey { stream: self.stream(0), entity: Bytes::from(entity.to_owned()) }
    }

    /// An operator of the consumer.
    #[must_use]
    pub fn operator(&self) -> Operator {
        operator(self.log.clone())
    }

    /// Every gate that is not cleared.
    pub async fn gates(&self) -> Vec<GatedEntity> {
        gates(&self.log).await
    }

    /// How much is in the log.
    pub async fn log_totals(&self) -> Totals {
        let name = ConsumerName::new(NAME).expect("a name");
        self.log.totals(&name).await.expect("a log in memory answers")
    }

    /// The gate of an entity, which must have one that is not cleared.
    pub async fn gate(&self, entity: &str) -> GatedEntity {
        let found = self.gates().await.into_iter().find(|gate| gate.key.entity == entity.as_bytes());
        found.expect("the entity is gated")
    }

    /// Waits until an entity's gate is so, and returns it; an entity that is clear is not asked about.
    pub async fn until(&self, what: &str, entity: &str, so: impl Fn(&GatedEntity) -> bool) -> GatedEntity {
        for _ in 0..90_000 {
            let found = self.gates().await.into_iter().find(|gate| gate.key.entity == entity.as_bytes());
            if let Some(gate) = found.filter(&so) {
                return gate;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        eventually(what, || false).await;
        self.gate(entity).await
    }

    /// Waits until everything that was sent has been handled, the broker was told so, and nothing is held.
    pub async fn until_done(&self, runs: &Recorder) {
        let missing = || order::missing(&self.sent(), &runs.runs());
        eventually("everything is handled", || missing().is_empty()).await;
        eventually("the broker is told so", || self.broker.lag(NAME) == 0).await;
        for _ in 0..90_000 {
            if self.gates().await.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        eventually("nothing is held", || false).await;
    }

    /// Asserts that nothing was overtaken.
    pub fn assert_order(&self, runs: &Recorder) {
        self.assert_order_without(runs, &[]);
    }

    /// Asserts that nothing was overtaken but what was given up.
    pub fn assert_order_without(&self, runs: &Recorder, given_up: &[&str]) {
        let wrong = order::violations(&self.sent(), &runs.runs(), given_up);
        assert!(wrong.is_empty(), "{wrong:#?}\n{:#?}", runs.runs());
    }
}

/// A consumer with this log, which retries by the second.
pub fn consumer(handler: &Scripted, log: impl FailureLog) -> OrderedConsumer<Scripted> {
    OrderedConsumer::new(NAME, handler.clone(), log).with_retry_policy(seconds())
}

/// An operator of the consumer with this log.
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "the name can be used")]
pub fn operator(log: impl FailureLog) -> Operator {
    Operator::new(Arc::new(log), ConsumerName::new(NAME).expect("a name"), "ann")
}

/// Every gate in this log that is not cleared.
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "a log without faults is asked")]
pub async fn gates(log: &impl FailureLog) -> Vec<GatedEntity> {
    let name = ConsumerName::new(NAME).expect("a name");
    log.list(&name, &GateQuery { limit: 1_000, ..GateQuery::default() }).await.expect("it answers")
}
