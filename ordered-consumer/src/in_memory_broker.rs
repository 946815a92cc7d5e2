//! A broker in memory: **the way to test** handlers, engines and whole consumers without a server.

mod deliver;
mod error;
mod faults;
mod group;
mod member;
mod new_event;
mod options;
mod publisher;
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
pub use publisher::InMemoryPublisher;
pub use source::InMemorySource;

use self::{
    group::{Group, partition},
    state::Shared,
    topic::Topic,
};
use crate::{Index, StreamName};

/// A broker in memory. Clones are the same broker.
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
            if state.topics.contains_key(name) {
                return Err(BrokerError::Exists { name: name.to_owned() });
            }
            let topic = Topic::new(name, options, state.new_id())?;
            state.topics.insert(name.to_owned(), topic);
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
        self.shared.change(|state| {
            let found = state.open_topic(topic)?;
            found.append(found.partition_of(&event.key), event)
        })
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
        self.shared.change(|state| {
            let found = state.open_topic(topic)?;
            let number = usize::try_from(partition).ok().filter(|number| *number < found.partitions.len());
            let number =
                number.ok_or_else(|| BrokerError::NoSuchPartition { topic: topic.to_owned(), partition })?;
            found.append(number, event)
        })
    }

    /// Takes no more events for the topic: members of its groups are told the end once all of it is settled.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such topic.
    pub fn close_topic(&self, topic: &str) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            state.topic(topic)?.closed = true;
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

    /// What sends released events to the retry stream of a group, whose copies come back to members that subscribed
    /// [with retry](InMemorySource::with_retry).
    #[must_use]
    pub fn retry_publisher(&self, group: &str) -> InMemoryPublisher {
        InMemoryPublisher::of_group(Arc::clone(&self.shared), group)
    }

    /// How far a group has settled a stream: everything up to and including this index.
    #[must_use]
    pub fn committed(&self, group: &str, stream: &StreamName) -> Option<Index> {
        self.look_at(group, |found| {
            let at = found.positions.values().find(|at| at.stream == *stream);
            at.and_then(|at| at.committed).map(Index::new)
        })?
    }

    /// How many events kept are published and not settled by a group.
    #[must_use]
    pub fn lag(&self, group: &str) -> usize {
        let state = self.shared.lock();
        let positions = state.groups.get(group).into_iter().flat_map(|group| &group.positions);
        let left = positions
            .filter_map(|(place, at)| Some(partition(&state.topics, place)?.count_after(at.committed)));
        left.sum()
    }

    /// Copies of a group's retry stream that are not settled.
    #[must_use]
    pub fn copies_left(&self, group: &str) -> usize {
        self.look_at(group, |group| group.retry.len()).unwrap_or(0)
    }

    /// How many copies were ever published to a group's retry stream.
    #[must_use]
    pub fn copies_published(&self, group: &str) -> u64 {
        self.look_at(group, |group| group.retry.published).unwrap_or(0)
    }

    /// How many events were ever published to a topic.
    #[must_use]
    pub fn published(&self, topic: &str) -> u128 {
        let state = self.shared.lock();
        state.topics.get(topic).map_or(0, |topic| {
            let first = topic.options.first_index;
            topic.partitions.iter().map(|partition| partition.published_since(first)).sum()
        })
    }

    /// How many events of a topic are kept at the moment.
    #[must_use]
    pub fn kept(&self, topic: &str) -> usize {
        let state = self.shared.lock();
        state.topics.get(topic).map_or(0, |topic| topic.partitions.iter().map(|kept| kept.len()).sum())
    }

    fn look_at<R>(&self, group: &str, look: impl FnOnce(&Group) -> R) -> Option<R> {
        let mut state = self.shared.lock();
        // Looked at now, what is due now has happened.
        state.with_group(group, |group, _, _| look(group)).ok()
    }
}

impl fmt::Debug for InMemoryBroker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.shared.lock();
        let (topics, groups) = (state.topics.len(), state.groups.len());
        write!(f, "an in-memory broker of {topics} topics and {groups} groups")
    }
}
