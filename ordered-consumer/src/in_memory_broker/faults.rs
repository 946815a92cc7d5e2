//! What can be made to go wrong on purpose.

use std::time::Duration;

use super::{
    BrokerError, InMemoryBroker, MemberId,
    group::{Commits, later, partition},
    topic::Topic,
};
use crate::{Index, StreamName};

impl InMemoryBroker {
    /// Makes the broker unavailable, or available again: sources and publishers say so when they are asked. What
    /// sources settle, abandon and release meanwhile reaches the broker when it is back, unless they have crashed by
    /// then; time goes on.
    pub fn unavailable(&self, unavailable: bool) {
        self.shared.change(|state| state.set_unavailable(unavailable));
    }

    /// Has each message of a source come at least so long after its last one, and each publish of a copy take so
    /// long, by tokio's clock.
    pub fn latency(&self, latency: Duration) {
        self.shared.change(|state| state.latency = latency);
    }

    /// Declares a member dead, as after a session timeout: what it has is given to others at once (what it received
    /// from a queue, once its visibility has run out), and its source fails when it is asked again.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchMember`] when it has left already.
    pub fn crash(&self, member: MemberId) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            let names: Vec<String> = state.groups.keys().cloned().collect();
            for name in names {
                if state.with_group(&name, |group, topics, now| group.remove(member, topics, now))? {
                    return Ok(());
                }
            }
            let left = state.queues.values_mut().any(|queue| queue.leave(member, false));
            if left { Ok(()) } else { Err(BrokerError::NoSuchMember) }
        })
    }

    /// Refuses the next so many deletes from a queue, as for receipts that have run out.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such queue.
    pub fn refuse_deletes(&self, queue: &str, deletes: u32) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            state.queue(queue)?.refuses_deletes = deletes;
            Ok(())
        })
    }

    /// Takes a stream from a member at once and gives it to another, while the member learns of it only after this
    /// time: until then it is a zombie owner, which still gets a batch that it had buffered.
    ///
    /// # Errors
    /// [`BrokerError::NoSuchMember`] when the member does not own the stream.
    pub fn force_lose(
        &self,
        member: MemberId,
        stream: &StreamName,
        told_after: Duration,
    ) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            let names: Vec<String> = state.groups.keys().cloned().collect();
            for name in names {
                let Ok(place) = state.place(&name, stream) else { continue };
                let lost = state.with_group(&name, |group, topics, now| {
                    let lost = group.lose(member, &place, later(now, told_after), topics);
                    group.rebalance(topics, now);
                    // Told at once, if it is to learn of it at once.
                    group.expire(topics, now);
                    lost
                })?;
                if lost {
                    return Ok(());
                }
            }
            Err(BrokerError::NoSuchMember)
        })
    }

    /// Has everything of a stream from this index on delivered to a group again, under a new assignment, as soon as
    /// its owner has released it; what is committed stays so.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] for a group or stream that there is not, [`BrokerError::NotKept`] when the event was
    /// never published or is dropped.
    pub fn redeliver(&self, group: &str, stream: &StreamName, index: Index) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            let place = state.place(group, stream)?;
            if !partition(&state.topics, &place).is_some_and(|kept| kept.keeps(index.get())) {
                return Err(BrokerError::NotKept { stream: stream.clone(), index });
            }
            state.with_group(group, |group, topics, now| group.deliver_again(&place, index, topics, now))
        })
    }

    /// Sets a group's committed position of a stream, so that it would get this index next: backward as when an
    /// operator resets it, or forward. The owner loses the stream, and it is assigned anew.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] for a group or stream that there is not.
    pub fn rewind(&self, group: &str, stream: &StreamName, index: Index) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            let place = state.place(group, stream)?;
            state.with_group(group, |group, topics, now| group.rewind(&place, index, topics, now))
        })
    }

    /// Deletes a topic and creates it again, with the same options: another identity, no events, and no group has a
    /// position in it. Owners of its partitions lose them and are assigned the new ones.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such topic.
    pub fn recreate_topic(&self, name: &str) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            let identity = state.new_id();
            let topic = state.topic(name)?;
            *topic = Topic::new(name, topic.options.clone(), identity)?;
            state.groups.values_mut().for_each(|group| group.forget_topic(name));
            state.follow_again(name);
            Ok(())
        })
    }

    /// Deletes a queue and creates it again, with the same options: another identity, no events, no copies, and indexes that
    /// begin anew. Whoever receives from it goes on with the new one, and is not told.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such queue.
    pub fn recreate_queue(&self, name: &str) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            let identity = state.new_id();
            Ok(state.queue(name)?.recreate(identity)?)
        })
    }

    /// Adds partitions to a topic, until it has so many; those that it has stay as they are. Where keys go is chosen
    /// among all of them from here on, and groups that read the topic are assigned the new ones.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such topic.
    pub fn add_partitions(&self, topic: &str, partitions: u32) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            state.topic(topic)?.add_partitions(topic, partitions)?;
            state.follow_again(topic);
            Ok(())
        })
    }

    /// Has a group's settlements take effect only so long after they were told, if the assignment is still the
    /// member's then; closing the source has them take effect at once.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such group.
    pub fn delay_commits(&self, group: &str, by: Duration) -> Result<(), BrokerError> {
        self.set_commits(group, if by.is_zero() { Commits::AtOnce } else { Commits::After(by) })
    }

    /// Has a group's settlements get lost on their way, or not any more.
    ///
    /// # Errors
    /// [`BrokerError::Unknown`] when there is no such group.
    pub fn lose_commits(&self, group: &str, lose: bool) -> Result<(), BrokerError> {
        self.set_commits(group, if lose { Commits::Lost } else { Commits::AtOnce })
    }

    fn set_commits(&self, group: &str, commits: Commits) -> Result<(), BrokerError> {
        self.shared.change(|state| {
            state.group(group)?.commits = commits;
            Ok(())
        })
    }
}
