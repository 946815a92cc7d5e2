//! A broker in memory: **the way to test** handlers, engines and whole consumers without a server.
//!
//! It does what real brokers do to their consumers: it divides partitions among a group's members and takes them away
//! again, delivers once more what a crashed member had not settled, lets a queue's visibility run out, refuses deletes
//! and copies, and goes away for a while. It takes the time from tokio's clock, so that a test with
//! `start_paused = true` decides when anything happens, and takes no time itself.
//!
//! ```
//! use ordered_consumer::{EventSource, Settlement, SourceMessage, in_memory_broker::InMemoryBroker};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let broker = InMemoryBroker::new();
//! broker.create_topic("orders", 4)?;
//! let (stream, index) = broker.publish("orders", "order-1", r#"{"paid": 12}"#)?;
//!
//! // An OrderedConsumer does the following; a test of an adapter's contract may do it by hand.
//! let mut source = broker.subscribe("billing", &["orders"])?;
//! loop {
//!     match source.next().await? {
//!         SourceMessage::Assigned(streams) => {
//!             for stream in streams {
//!                 assert!(source.confirm(&stream.assignment).await?.is_some());
//!             }
//!         }
//!         SourceMessage::Events { assignment, deliveries } => {
//!             let done = deliveries.iter().map(|delivery| (delivery.event.index(), delivery.receipt)).collect();
//!             source.settle(Settlement { assignment, events: done, held: Vec::new(), watermark: Some(index) });
//!         }
//!         SourceMessage::Settled { through, .. } => {
//!             assert_eq!(through, index);
//!             break;
//!         }
//!         other => panic!("not expected: {other:?}"),
//!     }
//! }
//! assert_eq!(broker.committed("billing", &stream), Some(index));
//!
//! // Dropped without `close`, the member has crashed; a new one begins after what is settled.
//! drop(source);
//! assert_eq!(broker.lag("billing"), 0);
//! # Ok(())
//! # }
//! ```
//!
//! # Owned streams
//! [`create_topic`](InMemoryBroker::create_topic) makes a topic whose partitions are the streams `topic/0`, `topic/1`
//! and so on; [`subscribe`](InMemoryBroker::subscribe) joins a group. A partition changes hands cooperatively: its
//! owner is asked, and the next one gets it once it is released or the
//! [rebalance timeout](GroupOptions::rebalance_timeout) is over. Between the two, nothing more of it is delivered and
//! the old owner's settlements still count. A group is made by its first member, or by
//! [`create_group`](InMemoryBroker::create_group) to give it options, and begins at the first event kept.
//!
//! # Shared streams
//! [`create_queue`](InMemoryBroker::create_queue) makes a FIFO queue in which each entity is a message group, and
//! [`subscribe_queue`](InMemoryBroker::subscribe_queue) receives from it.
//!
//! # What goes wrong on purpose
//!
//! | to test | call |
//! | --- | --- |
//! | a crash | drop the source without `close`, or [`crash`](InMemoryBroker::crash) |
//! | a process that stands still | [`session_timeout`](GroupOptions::session_timeout), a queue's [`visibility_timeout`](QueueOptions::visibility_timeout) |
//! | a zombie owner | [`force_lose`](InMemoryBroker::force_lose) |
//! | duplicates | [`redeliver`](InMemoryBroker::redeliver) |
//! | a position that went back | [`rewind`](InMemoryBroker::rewind) |
//! | partitions added to a topic | [`add_partitions`](InMemoryBroker::add_partitions) |
//! | a topic or queue deleted and created again | [`recreate_topic`](InMemoryBroker::recreate_topic), [`recreate_queue`](InMemoryBroker::recreate_queue) |
//! | settlements late or lost | [`delay_commits`](InMemoryBroker::delay_commits), [`lose_commits`](InMemoryBroker::lose_commits) |
//! | refused deletes | [`refuse_deletes`](InMemoryBroker::refuse_deletes) |
//! | a broker that is away or slow | [`unavailable`](InMemoryBroker::unavailable), [`latency`](InMemoryBroker::latency) |
//! | copies refused, or published twice | [`InMemoryPublisher`] |
//!
//! # Limits
//! Nothing outlives the process. Every partition and queue keeps a bounded number of events and refuses more; with
//! [`drop_settled`](TopicOptions::drop_settled), those that every group has settled make room.

mod deliver;
mod error;
mod faults;
mod group;
mod inspect;
mod member;
mod new_event;
mod options;
mod parked_topic;
mod publisher;
mod queue;
mod queue_consumer;
mod queue_flight;
mod queue_source;
mod rebalance;
mod retry;
mod source;
mod state;
mod topic;

use std::{fmt, sync::Arc};

use bytes::Bytes;

pub use error::BrokerError;
pub use member::MemberId;
pub use new_event::NewEvent;
pub use options::{GroupOptions, QueueOptions, TopicOptions};
pub use parked_topic::InMemoryParkedTopic;
pub use publisher::InMemoryPublisher;
pub use queue_source::InMemoryQueueSource;
pub use source::InMemorySource;

use self::{group::Group, queue::Queue, state::Shared, topic::Topic};
use crate::{Index, StreamName};

/// A broker in memory. Clones are the same broker. See the [module](self) for how to test with it.
#[derive(Clone, Default)]
pub struct InMemoryBroker {
    shared: Arc<Shared>,
}

impl InMemoryBroker {
    /// A broker without topics.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a topic whose streams are `name/0`, `name/1` and so on.
    ///
    /// # Errors
    /// [`BrokerError::Exists`], or [`BrokerError::Nothing`] for a topic without partitions.
    pub fn create_topic(&self, name: &str, partitions: u32) -> Result<(), BrokerError> {
        self.create_topic_with(name, TopicOptions { partitions, ..TopicOptions::default() })
    }

    /// Makes a topic with options of its own.
    ///
    /// # Errors
    /// As [`create_topic`](Self::create_topic).
    pub fn create_topic_with(&self, name: &str, options: TopicOptions) -> Result<(), BrokerError> {
        if options.partitions == 0 {
            return Err(BrokerError::Nothing { what: "a topic", of: "partition" });
        }
        self.shared.change(|state| {
            state.is_free(name)?;
            let topic = Topic::new(name, options, state.new_id())?;
            state.topics.insert(name.to_owned(), topic);
            Ok(())
        })
    }

    /// Makes a shared FIFO queue, in which each entity is a message group; its stream has the queue's name.
    ///
    /// # Errors
    /// [`BrokerError::Exists`], or [`BrokerError::Name`] for a name that cannot be a stream's.
    pub fn create_queue(&self, name: &str, options: QueueOptions) -> Result<(), BrokerError> {
        let options = QueueOptions { receive_max: options.receive_max.max(1), ..options };
        self.shared.change(|state| {
            state.is_free(name)?;
            let queue = Queue::new(name, options, state.new_id())?;
            state.queues.insert(name.to_owned(), queue);
            Ok(())
        })
    }

    /// Makes a group with options of its own, before its first member joins; a group that is there gets them.
    pub fn create_group(&self, name: &str, options: GroupOptions) {
        let options = GroupOptions { batch_max: options.batch_max.max(1), ..options };
        self.shared.change(|state| match state.groups.get_mut(name) {
            Some(group) => group.options = options,
            None => {
                state.groups.insert(name.to_owned(), Group::new(options));
            }
        });
    }

    /// Publishes an event with a key and a payload, and says where it went.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`], [`BrokerError::Full`], [`BrokerError::Closed`], [`BrokerError::IndexesUsedUp`].
    pub fn publish(
        &self,
        topic: &str,
        key: impl Into<Bytes>,
        payload: impl Into<Bytes>,
    ) -> Result<(StreamName, Index), BrokerError> {
        self.publish_event(topic, NewEvent::new(key, payload))
    }

    /// Publishes an event to the partition that a stable hash of its key chooses, and says where it went.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    pub fn publish_event(&self, topic: &str, event: NewEvent) -> Result<(StreamName, Index), BrokerError> {
        self.shared.change(|state| state.append(topic, None, event))
    }

    /// Publishes as [`publish_event`](Self::publish_event), and waits while the partition or queue is full. Cancel
    /// safe: a dropped call has published nothing.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`], [`BrokerError::Closed`], [`BrokerError::IndexesUsedUp`].
    pub async fn publish_when_room(
        &self,
        name: &str,
        event: NewEvent,
    ) -> Result<(StreamName, Index), BrokerError> {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Enabled before the attempt, so that room made between attempt and wait is not missed.
            changed.as_mut().enable();
            match self.shared.try_append(name, &event) {
                Err(BrokerError::Full { .. }) => changed.await,
                published => return published,
            }
        }
    }

    /// Publishes an event to a partition of the caller's choice.
    ///
    /// # Errors
    /// As [`publish`](Self::publish), and [`BrokerError::NoSuchPartition`].
    pub fn publish_to(
        &self,
        topic: &str,
        partition: u32,
        event: NewEvent,
    ) -> Result<(StreamName, Index), BrokerError> {
        self.shared.change(|state| state.append(topic, Some(partition), event))
    }

    /// Takes no more events for the topic or queue: its sources are told the end once all of it is settled.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such topic or queue.
    pub fn close_topic(&self, name: &str) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            match state.queues.get_mut(name) {
                Some(queue) => queue.closed = true,
                None => state.topic(name)?.closed = true,
            }
            Ok(())
        })
    }

    /// Joins a group as a new member that reads these topics.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`], or [`BrokerError::Nothing`] without topics.
    pub fn subscribe(&self, group: &str, topics: &[&str]) -> Result<InMemorySource, BrokerError> {
        InMemorySource::join(Arc::clone(&self.shared), group, topics)
    }

    /// Receives from a queue, beside whoever else does.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such queue.
    pub fn subscribe_queue(&self, queue: &str) -> Result<InMemoryQueueSource, BrokerError> {
        InMemoryQueueSource::join(Arc::clone(&self.shared), queue)
    }

    /// What sends released events to the retry stream of a group, whose copies come back to members that subscribed
    /// [with retry](InMemorySource::with_retry).
    #[must_use]
    pub fn retry_publisher(&self, group: &str) -> InMemoryPublisher {
        InMemoryPublisher::of_group(Arc::clone(&self.shared), group)
    }

    /// What sends released events to the retry stream of a queue, whose copies come back to sources that receive
    /// [with retry](InMemoryQueueSource::with_retry).
    #[must_use]
    pub fn queue_retry_publisher(&self, queue: &str) -> InMemoryPublisher {
        InMemoryPublisher::of_queue(Arc::clone(&self.shared), queue)
    }
}

impl fmt::Debug for InMemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        let (topics, groups) = (state.topics.len(), state.groups.len());
        write!(f, "an in-memory broker of {topics} topics and {groups} groups")
    }
}
