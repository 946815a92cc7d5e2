//! What tests look at.

use super::{
    InMemoryBroker,
    group::{Group, partition},
    queue::Queue,
};
use crate::{Index, StreamName};

impl InMemoryBroker {
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

    /// Copies of a queue's retry stream that are not settled.
    #[must_use]
    pub fn queue_copies_left(&self, queue: &str) -> usize {
        self.look_at_queue(queue, |queue| queue.retry.len()).unwrap_or(0)
    }

    /// How many of a queue's events are received, and neither deleted nor visible again.
    #[must_use]
    pub fn in_flight(&self, queue: &str) -> usize {
        self.look_at_queue(queue, Queue::in_flight).unwrap_or(0)
    }

    /// How often an event of a queue was received; none once it is deleted.
    #[must_use]
    pub fn receives(&self, queue: &str, index: Index) -> Option<u32> {
        self.look_at_queue(queue, |queue| queue.receives(index))?
    }

    /// How many events were ever published to a topic or queue.
    #[must_use]
    pub fn published(&self, name: &str) -> u128 {
        let state = self.shared.lock();
        if let Some(queue) = state.queues.get(name) {
            return queue.published();
        }
        state.topics.get(name).map_or(0, |topic| {
            let first = topic.options.first_index;
            topic.partitions.iter().map(|partition| partition.published_since(first)).sum()
        })
    }

    /// How many events of a topic or queue are kept at the moment: in a queue, those not deleted.
    #[must_use]
    pub fn kept(&self, name: &str) -> usize {
        let state = self.shared.lock();
        if let Some(queue) = state.queues.get(name) {
            return queue.kept();
        }
        state.topics.get(name).map_or(0, |topic| topic.partitions.iter().map(|kept| kept.len()).sum())
    }

    fn look_at<R>(&self, group: &str, look: impl FnOnce(&Group) -> R) -> Option<R> {
        // A change, since what is due now happens now, and somebody may wait for it.
        self.shared.change(|state| state.with_group(group, |group, _, _| look(group)).ok())
    }

    fn look_at_queue<R>(&self, queue: &str, look: impl FnOnce(&Queue) -> R) -> Option<R> {
        self.shared.change(|state| state.with_queue(queue, |queue, _| look(queue)).ok())
    }
}
