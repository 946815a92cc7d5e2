//! A consumer group: who owns what, and what is settled.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    GroupOptions, MemberId,
    member::{Held, Lost, Member, Place},
    retry::RetryStream,
    topic::{Partition, Topic},
};
use crate::{Assignment, Confirmation, Index, Layout, Settlement, StreamName};

/// The topics that a group's functions look into.
pub(super) type Topics = BTreeMap<String, Topic>;

/// The partition of a place, while there is one.
pub(super) fn partition<'a>(topics: &'a Topics, place: &Place) -> Option<&'a Partition> {
    topics.get(&*place.topic)?.partitions.get(usize::try_from(place.partition).ok()?)
}

fn layout(topics: &Topics, place: &Place) -> Option<Layout> {
    let streams = topics.get(&*place.topic)?.options.partitions;
    Some(Layout { name: StreamName::new(&place.topic).ok()?, number: place.partition, streams })
}

/// How far a topic's first partitions reach.
pub(super) fn last_indexes(topics: &Topics, stream: &StreamName, partitions: u32) -> Vec<Option<Index>> {
    let of_stream = |topic: &&Topic| topic.partitions.iter().any(|partition| partition.stream == *stream);
    let Some(topic) = topics.values().find(of_stream) else { return Vec::new() };
    let partitions = usize::try_from(partitions).unwrap_or(usize::MAX);
    let first_index = topic.options.first_index;
    topic.partitions.iter().take(partitions).map(|partition| partition.last_index(first_index)).collect()
}

/// A consumer group.
pub(super) struct Group {
    pub(super) options: GroupOptions,
    pub(super) members: BTreeMap<MemberId, Member>,
    pub(super) positions: BTreeMap<Place, Position>,
    pub(super) retry: RetryStream,
    pub(super) commits: Commits,
    pub(super) pending_commits: VecDeque<PendingCommit>,
    pub(super) epochs: u64,
    /// Where settled events may be dropped, if the other groups have settled them too.
    pub(super) to_trim: BTreeSet<Place>,
}

/// How far a group has come in a partition, and who owns it.
pub(super) struct Position {
    pub(super) stream: StreamName,
    pub(super) identity: Bytes,
    /// Everything up to and including this index is settled.
    pub(super) committed: Option<u128>,
    /// The highest index ever handed to a member.
    pub(super) delivered: Option<u128>,
    /// Where the next assignment begins, if before what is committed.
    pub(super) again_after: Option<Option<u128>>,
    pub(super) owner: Option<Owner>,
}

/// A member that owns a partition.
pub(super) struct Owner {
    pub(super) member: MemberId,
    pub(super) epoch: u64,
    pub(super) revoking: Option<Revoking>,
}

/// A partition on its way from one member to another.
pub(super) struct Revoking {
    /// When the old owner is fenced if it has not released it.
    pub(super) deadline: Instant,
    /// Who gets it, if still there.
    pub(super) promised: Option<MemberId>,
}

/// What happens to settlements.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Commits {
    /// They take effect at once.
    #[default]
    AtOnce,
    /// They take effect later, if the assignment still is the member's then.
    After(Duration),
    /// They are lost on the way.
    Lost,
}

/// A settlement on its way.
pub(super) struct PendingCommit {
    due: Instant,
    member: MemberId,
    assignment: Assignment,
    through: Index,
}

impl Position {
    pub(super) fn is_owned_under(&self, member: MemberId, epoch: u64) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.member == member && owner.epoch == epoch)
    }
}

impl Group {
    pub(super) fn new(options: GroupOptions) -> Self {
        Self {
            options,
            members: BTreeMap::new(),
            positions: BTreeMap::new(),
            retry: RetryStream::default(),
            commits: Commits::AtOnce,
            pending_commits: VecDeque::new(),
            epochs: 0,
            to_trim: BTreeSet::new(),
        }
    }

    /// Has the group know every partition of a topic.
    pub(super) fn follow(&mut self, name: &Arc<str>, topic: &Topic) {
        for (number, partition) in (0..).zip(&topic.partitions) {
            let place = Place { topic: Arc::clone(name), partition: number };
            self.positions.entry(place).or_insert_with(|| Position {
                stream: partition.stream.clone(),
                identity: topic.identity.clone(),
                committed: None,
                delivered: None,
                again_after: None,
                owner: None,
            });
        }
    }

    /// Whether the assignment is the member's, whose events are then delivered: from the first one that is not
    /// settled, if it was confirmed before.
    pub(super) fn confirm(
        &mut self,
        member: MemberId,
        assignment: &Assignment,
        topics: &Topics,
    ) -> Option<Confirmation> {
        let held = self.members.get_mut(&member).and_then(|member| member.held(assignment))?;
        let at = self.positions.get(&held.place)?;
        if !at.is_owned_under(member, assignment.epoch) {
            return None;
        }
        if held.confirmed {
            held.after = at.committed;
        }
        held.confirmed = true;
        if let Some((lease, lasts)) = held.lease.as_ref().zip(self.options.session_timeout) {
            lease.extend(lasts);
        }
        let position = partition(topics, &held.place)?.position_after(at.committed);
        let layout = layout(topics, &held.place);
        Some(Confirmation { identity: Some(at.identity.clone()), position, layout })
    }

    /// Takes note of a settlement; that of an assignment that is gone is dropped.
    pub(super) fn settle(
        &mut self,
        member: MemberId,
        settlement: &Settlement,
        topics: &Topics,
        now: Instant,
    ) {
        let Some(through) = settlement.watermark else { return };
        match self.commits {
            Commits::AtOnce => self.commit(member, &settlement.assignment, through, topics),
            Commits::After(delay) => {
                let assignment = settlement.assignment.clone();
                let due = later(now, delay);
                self.pending_commits.push_back(PendingCommit { due, member, assignment, through });
            }
            Commits::Lost => {}
        }
    }

    fn commit(&mut self, id: MemberId, assignment: &Assignment, through: Index, topics: &Topics) {
        let Some(held) = self.members.get_mut(&id).and_then(|member| member.held(assignment)) else {
            return;
        };
        let Some(at) = self.positions.get_mut(&held.place) else { return };
        // What was never delivered cannot be done, whoever says so.
        let Some(through) = held.delivered.map(|delivered| delivered.min(through.get())) else { return };
        if !at.is_owned_under(id, assignment.epoch) {
            return;
        }
        at.committed = at.committed.max(Some(through));
        held.settled = Some(Index::new(through));
        let place = held.place.clone();
        if topics.get(&*place.topic).is_some_and(|topic| topic.options.drop_settled) {
            self.to_trim.insert(place);
        }
    }

    /// Lets every settlement on its way take effect that is due, or comes from this member.
    pub(super) fn commit_pending(
        &mut self,
        now: Instant,
        leaving: Option<MemberId>,
        topics: &Topics,
    ) -> bool {
        if self.pending_commits.is_empty() {
            return false;
        }
        let (due, rest): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.pending_commits)
            .into_iter()
            .partition(|commit| commit.due <= now || Some(commit.member) == leaving);
        self.pending_commits = rest;
        for commit in &due {
            self.commit(commit.member, &commit.assignment, commit.through, topics);
        }
        !due.is_empty()
    }

    /// The stream is the broker's again: nothing of the assignment runs any more.
    pub(super) fn release(&mut self, id: MemberId, assignment: &Assignment, topics: &Topics, now: Instant) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let Some(held) = member.held(assignment) else { return };
        let Some(at) = self.positions.get_mut(&held.place) else { return };
        if !at.is_owned_under(id, assignment.epoch) {
            return;
        }
        let Some(revoking) = at.owner.as_mut().and_then(|owner| owner.revoking.take()) else { return };
        at.owner = None;
        let place = held.place.clone();
        member.forget(assignment);
        self.hand_over(&place, revoking.promised, topics);
        self.rebalance(topics, now);
    }

    /// Fences members that did not release in time, and tells members what they have lost.
    pub(super) fn expire(&mut self, topics: &Topics, now: Instant) -> bool {
        let mut changed = self.commit_pending(now, None, topics);
        changed |= self.end_sessions(topics, now);
        let late: Vec<Place> =
            self.positions.iter().filter(|(_, at)| at.is_late(now)).map(|(p, _)| p.clone()).collect();
        for place in late {
            let owner = self.positions.get_mut(&place).and_then(|at| at.owner.take());
            let Some(owner) = owner else { continue };
            self.tell_lost(&place, &owner);
            self.hand_over(&place, owner.revoking.and_then(|revoking| revoking.promised), topics);
            changed = true;
        }
        for member in self.members.values_mut() {
            let told = |held: &Held| held.lost.as_ref().is_some_and(|lost| lost.told_at <= now);
            while let Some(held) = member.held.iter().find(|held| told(held)) {
                let assignment = held.assignment.clone();
                member.lose(&assignment);
                changed = true;
            }
        }
        if changed {
            self.rebalance(topics, now);
        }
        changed
    }

    /// Declares members dead that were not heard of for too long.
    fn end_sessions(&mut self, topics: &Topics, now: Instant) -> bool {
        let Some(session) = self.options.session_timeout else { return false };
        let silent = self.members.iter().filter(|(_, member)| later(member.heard_at, session) <= now);
        let silent: Vec<MemberId> = silent.map(|(id, _)| *id).collect();
        for id in &silent {
            self.remove(*id, topics, now);
        }
        !silent.is_empty()
    }

    /// Says to an owner that is none any more that its stream is lost.
    pub(super) fn tell_lost(&mut self, place: &Place, owner: &Owner) {
        let Some(at) = self.positions.get(place) else { return };
        let assignment = Assignment { stream: at.stream.clone(), epoch: owner.epoch };
        if let Some(member) = self.members.get_mut(&owner.member) {
            member.lose(&assignment);
        }
    }

    /// Takes a stream from its owner, who learns of it later and has some events buffered.
    pub(super) fn lose(&mut self, id: MemberId, place: &Place, told_at: Instant, topics: &Topics) -> bool {
        let Some(at) = self.positions.get_mut(place) else { return false };
        let Some(owner) = at.owner.take_if(|owner| owner.member == id) else { return false };
        let assignment = Assignment { stream: at.stream.clone(), epoch: owner.epoch };
        let batch = self.options.batch_max;
        let held = self.members.get_mut(&id).and_then(|member| member.held(&assignment));
        if let (Some(held), Some(partition)) = (held, partition(topics, place)) {
            let buffered = partition.after(held.after).take(batch).cloned().collect();
            held.lost = Some(Lost { buffered, told_at });
        }
        true
    }

    /// A member is gone, with or without having said so; what it had is given to others.
    pub(super) fn remove(&mut self, id: MemberId, topics: &Topics, now: Instant) -> bool {
        if self.members.remove(&id).is_none() {
            return false;
        }
        for at in self.positions.values_mut() {
            if at.owner.as_ref().is_some_and(|owner| owner.member == id) {
                at.owner = None;
            }
            let revoking = at.owner.as_mut().and_then(|owner| owner.revoking.as_mut());
            if let Some(revoking) = revoking.filter(|revoking| revoking.promised == Some(id)) {
                revoking.promised = None;
            }
        }
        self.pending_commits.retain(|commit| commit.member != id);
        self.retry.give_back(id);
        self.rebalance(topics, now);
        true
    }

    /// When something happens by itself next, as this member sees it.
    pub(super) fn next_alarm(&self, id: MemberId) -> Option<Instant> {
        let revoking = self.positions.values().filter_map(|at| at.owner.as_ref()?.revoking.as_ref());
        let revoking = revoking.map(|revoking| revoking.deadline);
        let held = self.members.values().flat_map(|member| &member.held);
        let told = held.filter_map(|held| held.lost.as_ref()).map(|lost| lost.told_at);
        let commits = self.pending_commits.iter().map(|commit| commit.due);
        revoking.chain(told).chain(commits).chain(self.next_session_alarm(id)).min()
    }

    /// When this member must be heard again, well before its session ends, or another one's session ends.
    fn next_session_alarm(&self, id: MemberId) -> Option<Instant> {
        let session = self.options.session_timeout?;
        let ends = |(of, member): (&MemberId, &Member)| {
            later(member.heard_at, if *of == id { session / 3 } else { session })
        };
        self.members.iter().map(ends).min()
    }
}

impl Position {
    fn is_late(&self, now: Instant) -> bool {
        let revoking = self.owner.as_ref().and_then(|owner| owner.revoking.as_ref());
        revoking.is_some_and(|revoking| revoking.deadline <= now)
    }
}

/// So long after; a very long time where that cannot be told.
pub(super) fn later(now: Instant, by: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);
    now.checked_add(by).or_else(|| now.checked_add(LONG)).unwrap_or(now)
}
