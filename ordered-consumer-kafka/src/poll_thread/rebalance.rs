//! Partitions come and go.
//!
//! The client waits for its (un)assign call, and polls and heartbeats meanwhile. So what is taken away is kept until the
//! engine has let go of it.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ordered_consumer::{AssignedStream, Assignment, SourceError, SourceMessage, StreamName};
use rdkafka::{
    Offset, TopicPartitionList,
    consumer::{Consumer, RebalanceProtocol},
};

use super::{PollThread, partition::Partition};
use crate::{source_context::Place, source_link::Said};

/// The last commit before partitions are given up, or are confirmed again, is waited for so long.
pub(super) const LAST_COMMIT_MAX: Duration = Duration::from_secs(5);

/// Partitions that are being taken away.
pub(super) struct Revocation {
    places: Vec<Place>,
    epochs: Vec<u64>,
    /// Those that the engine has not let go of.
    waits_for: BTreeSet<u64>,
    until: Instant,
    /// Everything is let go of, and what is settled is being committed.
    commits_until: Option<Instant>,
}

fn list(places: &[Place], offset: Option<Offset>) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        let mut added = list.add_partition(topic, *partition);
        if let Some(offset) = offset
            && let Err(error) = added.set_offset(offset)
        {
            tracing::warn!(%error, topic, partition, "a place in a partition cannot be named");
        }
    }
    list
}

impl PollThread {
    pub(super) fn assigned(&mut self, places: Vec<Place>) {
        let mut streams = Vec::new();
        self.was_assigned |= !places.is_empty();
        for place in &places {
            if let Some(partition) = self.new_partition(place) {
                if !partition.is_retry {
                    streams.push((Arc::clone(&partition.tag), stream_of(&partition)));
                }
                self.places.insert(place.clone(), partition.epoch());
                self.partitions.insert(partition.epoch(), partition);
            }
        }
        // From the end, so that next to nothing is fetched before the partition is told where it begins.
        let list = list(&places, Some(Offset::End));
        let done = match self.client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => self.client.incremental_assign(&list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.client.assign(&list),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the broker's client did not take an assignment");
        }
        if !streams.is_empty() {
            self.say(Said::Assigned(streams));
        }
    }

    fn new_partition(&mut self, place: &Place) -> Option<Partition> {
        let (topic, number) = place;
        let named = StreamName::new(format!("{topic}/{number}"));
        let stream = match named {
            Ok(stream) => stream,
            Err(error) => {
                let why = format!("the topic {topic} cannot be a stream's name: {error}");
                self.say(Said::Failed(SourceError::Fatal { why, source: None }));
                return None;
            }
        };
        let mut queue = self.client.split_partition_queue(topic, *number)?;
        let link = Arc::clone(&self.link);
        queue.set_nonempty_callback(move || link.wake());
        let is_retry = self.options.retry_topic.as_ref() == Some(topic);
        Some(Partition::new(Self::new_epoch(), place.clone(), stream, is_retry, queue))
    }

    fn new_epoch() -> u64 {
        // Of all sources in the process, so that logs tell them apart.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn revoked(&mut self, places: Vec<Place>, lost: bool) {
        let mut epochs = Vec::new();
        let mut waits_for = BTreeSet::new();
        let mut assignments = Vec::new();
        for place in &places {
            let Some(partition) = self.places.get(place).and_then(|epoch| self.partitions.get_mut(epoch))
            else {
                continue;
            };
            partition.go();
            if lost {
                partition.end_lease();
            }
            epochs.push(partition.epoch());
            if !partition.is_retry {
                if !partition.released {
                    waits_for.insert(partition.epoch());
                }
                assignments.push(partition.tag.assignment.clone());
            }
        }
        self.say_revoked(assignments, lost);
        let until = Instant::now() + self.options.release_timeout;
        if lost {
            waits_for.clear();
        }
        self.revocation = Some(Revocation { places, epochs, waits_for, until, commits_until: None });
        if lost {
            self.give_up();
        }
    }

    /// The group is left without asking the engine first.
    pub(super) fn lose_everything(&mut self) {
        let mut assignments = Vec::new();
        for partition in self.partitions.values_mut() {
            partition.go();
            partition.end_lease();
            if !partition.is_retry {
                assignments.push(partition.tag.assignment.clone());
            }
        }
        self.partitions.clear();
        self.places.clear();
        self.copies.clear();
        self.say_revoked(assignments, true);
        if self.revocation.is_some() {
            self.give_up();
        }
    }

    fn say_revoked(&self, assignments: Vec<Assignment>, lost: bool) {
        if !assignments.is_empty() {
            self.say_message(SourceMessage::Revoked { assignments, lost });
        }
    }

    pub(super) fn released(&mut self, epoch: u64) {
        if let Some(partition) = self.partitions.get_mut(&epoch) {
            // Also one that the broker has not asked for, as while the engine shuts down.
            partition.go();
            partition.released = true;
        }
        if let Some(revocation) = &mut self.revocation {
            revocation.waits_for.remove(&epoch);
        }
    }

    pub(super) fn go_on_with_revocation(&mut self, now: Instant) {
        let Some(revocation) = &mut self.revocation else { return };
        if self.client.assignment_lost() {
            // The session has ended meanwhile: nobody may go on with these.
            let epochs = revocation.epochs.clone();
            let mut assignments = Vec::new();
            for epoch in epochs {
                let Some(partition) = self.partitions.get_mut(&epoch) else { continue };
                partition.end_lease();
                if !partition.is_retry {
                    assignments.push(partition.tag.assignment.clone());
                }
            }
            self.say_revoked(assignments, true);
            self.give_up();
            return;
        }
        let overdue = now >= revocation.until;
        if !revocation.waits_for.is_empty() && !overdue {
            return;
        }
        let Some(commits_until) = revocation.commits_until else {
            if overdue && !revocation.waits_for.is_empty() {
                tracing::warn!(
                    streams = revocation.waits_for.len(),
                    "revoked streams were not let go of in time, and are given up"
                );
            }
            for epoch in &revocation.epochs {
                if let Some(partition) = self.partitions.get_mut(epoch) {
                    partition.end_lease();
                }
            }
            revocation.commits_until = Some(now + LAST_COMMIT_MAX);
            self.commit_now = true;
            return;
        };
        let mut of_these = revocation.epochs.iter().filter_map(|epoch| self.partitions.get(epoch));
        let behind = of_these.any(Partition::is_to_commit);
        if now >= commits_until || (!behind && self.in_flight.is_none()) {
            self.give_up();
        }
    }

    /// Tells the client that the partitions may go to somebody else.
    fn give_up(&mut self) {
        let Some(revocation) = self.revocation.take() else { return };
        for epoch in &revocation.epochs {
            if let Some(partition) = self.partitions.remove(epoch) {
                self.places.remove(&partition.place);
            }
            self.copies.retain(|_, (of, _)| of != epoch);
        }
        let done = match self.client.rebalance_protocol() {
            RebalanceProtocol::Cooperative => {
                self.client.incremental_unassign(&list(&revocation.places, None))
            }
            RebalanceProtocol::Eager | RebalanceProtocol::None => self.client.unassign(),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "the broker's client did not give partitions up");
        }
    }

    /// The client has handed over what it may not: the assignment counts as lost, and begins anew from what is committed.
    pub(super) fn begin_anew(&mut self, epoch: u64) {
        let new_epoch = Self::new_epoch();
        let Some(mut partition) = self.partitions.remove(&epoch) else { return };
        let stream = partition.tag.assignment.stream.clone();
        tracing::warn!(%stream, "the broker's client went back within an assignment, which begins anew from the committed offset");
        partition.go();
        partition.end_lease();
        self.copies.retain(|_, (of, _)| *of != epoch);
        let gone = vec![partition.tag.assignment.clone()];
        let Partition { place, is_retry, queue, .. } = partition;
        let mut partition = Partition::new(new_epoch, place.clone(), stream, is_retry, queue);
        partition.fetches = true;
        let assigned = (Arc::clone(&partition.tag), stream_of(&partition));
        self.places.insert(place, new_epoch);
        self.partitions.insert(new_epoch, partition);
        if !is_retry {
            self.say_revoked(gone, true);
            self.say(Said::Assigned(vec![assigned]));
        }
    }
}

fn stream_of(partition: &Partition) -> AssignedStream {
    AssignedStream { assignment: partition.tag.assignment.clone(), lease: Some(partition.lease.clone()) }
}
