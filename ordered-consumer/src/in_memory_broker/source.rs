//! The consuming half over a topic's partitions.

use std::{fmt, future::ready, sync::Arc};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{
    BrokerError, InMemoryPublisher, MemberId,
    group::{Group, Topics, last_indexes},
    member::Member,
    state::Shared,
};
use crate::{
    Assignment, Confirming, EventSource, LastIndexes, Settlement, Sharing, SourceError, SourceMessage,
};

/// A member of a group that reads topics of an [`InMemoryBroker`](super::InMemoryBroker): owned streams.
///
/// Dropped without [`close`](EventSource::close), it has crashed: what it did not settle is delivered again.
///
/// # After the end
/// Once [`SourceMessage::Ended`] was said, `next` still returns copies from the retry stream and changes of
/// assignments, and otherwise waits.
pub struct InMemorySource {
    shared: Arc<Shared>,
    group: String,
    topics: Vec<String>,
    member: MemberId,
}

impl InMemorySource {
    /// Makes the group if need be, and joins it.
    pub(super) fn join(shared: Arc<Shared>, group: &str, topics: &[&str]) -> Result<Self, BrokerError> {
        if topics.is_empty() {
            return Err(BrokerError::Nothing { what: "a subscription", of: "topic" });
        }
        let member = shared.change(|state| {
            let member = MemberId(state.new_id());
            for name in topics {
                state.topic(name)?;
            }
            let found =
                state.groups.entry(group.to_owned()).or_insert_with(|| Group::new(Default::default()));
            let names: std::collections::BTreeSet<Arc<str>> =
                topics.iter().map(|name| Arc::from(*name)).collect();
            for name in &names {
                if let Some(topic) = state.topics.get(&**name) {
                    found.follow(name, topic);
                }
            }
            found.members.insert(member, Member::new(names, Instant::now()));
            state.with_group(group, |group, topics, now| group.rebalance(topics, now))?;
            Ok::<_, BrokerError>(member)
        })?;
        let topics = topics.iter().map(|&name| name.to_owned()).collect();
        Ok(Self { shared, group: group.to_owned(), topics, member })
    }

    /// Reads the group's retry stream too: copies that its publisher sent out.
    #[must_use]
    pub fn with_retry(self) -> Self {
        self.change(|member| member.takes_copies = true);
        self
    }

    /// Has [`SourceMessage::Ended`] said once everything that is published is settled, even if the topics are not
    /// closed: for a topic that was filled beforehand.
    #[must_use]
    pub fn end_when_drained(self) -> Self {
        self.change(|member| member.ends = true);
        self
    }

    /// Who it is, for the broker's hooks.
    #[must_use]
    pub fn member(&self) -> MemberId {
        self.member
    }

    /// What sends released events to the group's retry stream.
    #[must_use]
    pub fn retry_publisher(&self) -> InMemoryPublisher {
        InMemoryPublisher::of_group(Arc::clone(&self.shared), &self.group)
    }

    fn change(&self, change: impl FnOnce(&mut Member)) {
        self.in_group(|group, _, _| {
            if let Some(member) = group.members.get_mut(&self.member) {
                change(member);
            }
        });
    }

    fn in_group(&self, change: impl FnOnce(&mut Group, &Topics, Instant)) {
        let changed = self.shared.change(|state| state.with_group(&self.group, change));
        // It only fails without a group, and a group is never removed.
        let _ = changed;
    }

    /// Tells the broker something, at once or when it is available again.
    fn tell(&self, told: impl FnOnce(&mut Group, MemberId, &Topics, Instant) + Send + 'static) {
        let (name, member) = (self.group.clone(), self.member);
        self.shared.change(|state| {
            state.tell(move |state| {
                let done = state.with_group(&name, |group, topics, now| told(group, member, topics, now));
                // It only fails without a group, and a group is never removed.
                let _ = done;
            });
        });
    }

    fn set_paused(&self, assignment: &Assignment, paused: bool) {
        self.change(|member| {
            if let Some(held) = member.held(assignment) {
                held.paused = paused;
            }
        });
    }

    fn leave(&self) {
        self.in_group(|group, topics, now| {
            group.remove(self.member, topics, now);
        });
    }
}

#[async_trait]
impl EventSource for InMemorySource {
    fn describe(&self) -> String {
        format!("in-memory topics {} (group {})", self.topics.join(", "), self.group)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Owned
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        let (shared, group, member) = (&self.shared, &self.group, self.member);
        shared.wait_for(|state| state.turn_of(group, member)).await
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        let confirmed = self.shared.change(|state| {
            state.available()?;
            let confirmed = state
                .with_group(&self.group, |group, topics, _| group.confirm(self.member, assignment, topics));
            Ok(confirmed.unwrap_or(None))
        });
        Box::pin(ready(confirmed))
    }

    fn last_indexes(&mut self, assignment: &Assignment, streams: u32) -> LastIndexes {
        let told = self.shared.change(|state| {
            state.available()?;
            Ok(last_indexes(&state.topics, &assignment.stream, streams))
        });
        Box::pin(ready(told))
    }

    fn pause(&mut self, assignment: &Assignment) {
        self.set_paused(assignment, true);
    }

    fn resume(&mut self, assignment: &Assignment) {
        self.set_paused(assignment, false);
    }

    fn settle(&mut self, settlement: Settlement) {
        self.tell(move |group, member, topics, now| group.settle(member, &settlement, topics, now));
    }

    fn pause_copies(&mut self) {
        self.change(|member| member.copies_paused = true);
    }

    fn resume_copies(&mut self) {
        self.change(|member| member.copies_paused = false);
    }

    fn settle_copies(&mut self, receipts: &[u64]) {
        let receipts = receipts.to_vec();
        self.tell(move |group, member, _, _| group.retry.settle(member, &receipts));
    }

    fn release(&mut self, assignment: &Assignment) {
        let assignment = assignment.clone();
        self.tell(move |group, member, topics, now| group.release(member, &assignment, topics, now));
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.shared.lock().available()?;
        self.in_group(|group, topics, now| {
            group.commit_pending(now, Some(self.member), topics);
        });
        self.leave();
        Ok(())
    }
}

impl Drop for InMemorySource {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for InMemorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.describe())
    }
}
