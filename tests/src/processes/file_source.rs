//! A source of owned streams over files: partitions of events, and a group that divides them.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use ordered_consumer::{
    AssignedStream, Assignment, Confirmation, Confirming, Delivery, Event, EventSource, Index, Lease,
    Settlement, Sharing, SourceError, SourceMessage, StreamName,
};
use serde::{Deserialize, Serialize};

use super::{
    group_file::{Files, Group, SESSION},
    recording::{Line, Recording},
};

/// How often a member asks and speaks.
const PAUSE: Duration = Duration::from_millis(20);
/// How much earlier than the session a lease ends.
const MARGIN: Duration = Duration::from_millis(300);
/// How many events are handed over at once.
const BATCH: usize = 8;

/// An event in a partition's file; its index is its place there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its entity.
    pub entity: String,
    /// Its payload.
    pub payload: String,
}

/// A member of the group.
pub struct FileSource {
    files: Files,
    member: u32,
    held: BTreeMap<usize, Held>,
    ready: Vec<SourceMessage>,
}

struct Held {
    assignment: Assignment,
    lease: Lease,
    confirmed: bool,
    revoked: bool,
    paused: bool,
    next: usize,
    /// Everything below is done with.
    done: u64,
    /// Everything below is committed, and the engine was told so.
    told: u64,
}

/// The name of a partition's stream.
///
/// # Panics
/// Never: it is a name.
#[must_use]
#[expect(clippy::expect_used, reason = "it is a name")]
pub fn stream_of(partition: usize) -> StreamName {
    StreamName::new(format!("orders/{partition}")).expect("it is a name")
}

fn away(error: std::io::Error) -> SourceError {
    SourceError::Unavailable(error.into())
}

impl FileSource {
    /// Joins the group in these files.
    #[must_use]
    pub fn join(files: Files, member: u32) -> Self {
        Self { files, member, held: BTreeMap::new(), ready: Vec::new() }
    }

    /// Speaks, commits what is done, and learns what is this member's.
    fn speak(&mut self) -> Result<(Group, Duration), SourceError> {
        let before = Instant::now();
        let (member, held) = (self.member, &self.held);
        let commit = |group: &mut Group| {
            for (partition, held) in held {
                if group.owns(member, *partition, held.assignment.epoch)
                    && let Some(stored) = group.partitions.get_mut(*partition)
                {
                    stored.committed = stored.committed.max(held.done);
                }
            }
            group.clone()
        };
        // Whoever is found dead by another member has lost everything; what it commits afterwards is not its own.
        let group = self.files.speak(member, commit).map_err(away)?;
        // Counted from before it spoke: it may have been stopped since.
        let lasts = (SESSION - MARGIN).saturating_sub(before.elapsed());
        for (partition, held) in &mut self.held {
            if !group.owns(member, *partition, held.assignment.epoch) {
                continue;
            }
            held.lease.extend(lasts);
            if held.done > held.told {
                held.told = held.done;
                let through = Index::from(held.done - 1);
                self.ready.push(SourceMessage::Settled { assignment: held.assignment.clone(), through });
            }
        }
        Ok((group, lasts))
    }

    fn learn(&mut self, group: &Group, lasts: Duration) {
        let (mut assigned, mut lost, mut revoked) = (Vec::new(), Vec::new(), Vec::new());
        for (partition, stored) in group.partitions.iter().enumerate() {
            let mine = stored.owner == Some(self.member);
            if let Some(held) = self.held.get_mut(&partition) {
                if !mine || held.assignment.epoch != stored.epoch {
                    held.lease.end();
                    lost.push(held.assignment.clone());
                    self.held.remove(&partition);
                } else if stored.revoked && !held.revoked {
                    held.revoked = true;
                    revoked.push(held.assignment.clone());
                }
            }
            if mine && !stored.revoked && !self.held.contains_key(&partition) {
                let assignment = Assignment { stream: stream_of(partition), epoch: stored.epoch };
                let lease = Lease::new(lasts);
                assigned.push(AssignedStream { assignment: assignment.clone(), lease: Some(lease.clone()) });
                let (confirmed, paused, next) = (false, false, 0);
                let done = stored.committed;
                let held =
                    Held { assignment, lease, confirmed, revoked: false, paused, next, done, told: done };
                self.held.insert(partition, held);
            }
        }
        // Pushed in reverse, because they are popped.
        if !assigned.is_empty() {
            self.ready.push(SourceMessage::Assigned(assigned));
        }
        if !revoked.is_empty() {
            self.ready.push(SourceMessage::Revoked { assignments: revoked, lost: false });
        }
        if !lost.is_empty() {
            self.ready.push(SourceMessage::Revoked { assignments: lost, lost: true });
        }
    }

    /// The next events of some partition, if there are any.
    fn events(&mut self) -> Result<Option<SourceMessage>, SourceError> {
        for (partition, held) in &mut self.held {
            if !held.confirmed || held.paused || held.revoked {
                continue;
            }
            let text = std::fs::read_to_string(self.files.partition(*partition)).map_err(away)?;
            let stored: Vec<Stored> = serde_json::from_str(&text).map_err(|error| away(error.into()))?;
            let deliveries: Vec<Delivery> = stored
                .into_iter()
                .enumerate()
                .skip(held.next)
                .take(BATCH)
                .map(|(index, stored)| {
                    let event =
                        Event::builder(stream_of(*partition), Index::from(index as u64), stored.entity);
                    Delivery::from(event.payload(stored.payload).build())
                })
                .collect();
            if !deliveries.is_empty() {
                held.next += deliveries.len();
                return Ok(Some(SourceMessage::Events { assignment: held.assignment.clone(), deliveries }));
            }
        }
        Ok(None)
    }

    fn held(&mut self, assignment: &Assignment) -> Option<&mut Held> {
        self.held.values_mut().find(|held| held.assignment == *assignment)
    }
}

impl FileSource {
    fn confirm_now(&mut self, assignment: &Assignment) -> Result<Option<Confirmation>, SourceError> {
        let (group, _) = self.speak()?;
        let member = self.member;
        let Some((partition, held)) = self.held.iter_mut().find(|(_, held)| held.assignment == *assignment)
        else {
            return Ok(None);
        };
        if !group.owns(member, *partition, assignment.epoch) {
            return Ok(None);
        }
        let committed = group.partitions.get(*partition).map_or(0, |stored| stored.committed);
        held.next = usize::try_from(committed).unwrap_or(usize::MAX);
        held.confirmed = true;
        Ok(Some(Confirmation { position: Some(Index::from(committed)), ..Confirmation::default() }))
    }
}

#[async_trait]
impl EventSource for FileSource {
    fn describe(&self) -> String {
        format!("partitions in files (member {})", self.member)
    }

    fn sharing(&self) -> Sharing {
        Sharing::Owned
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        // Nothing is taken before the pause, so that a call dropped in it loses nothing.
        loop {
            if let Some(message) = self.ready.pop() {
                return Ok(message);
            }
            let (group, lasts) = self.speak()?;
            self.learn(&group, lasts);
            if self.ready.is_empty()
                && let Some(events) = self.events()?
            {
                return Ok(events);
            }
            if self.ready.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        let confirmed = self.confirm_now(assignment);
        Box::pin(std::future::ready(confirmed))
    }

    fn pause(&mut self, assignment: &Assignment) {
        if let Some(held) = self.held(assignment) {
            held.paused = true;
        }
    }

    fn resume(&mut self, assignment: &Assignment) {
        if let Some(held) = self.held(assignment) {
            held.paused = false;
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        if let (Some(watermark), Some(held)) = (settlement.watermark, self.held(&settlement.assignment)) {
            let done = u64::try_from(watermark.get()).unwrap_or(u64::MAX).saturating_add(1);
            held.done = held.done.max(done);
        }
    }

    fn release(&mut self, assignment: &Assignment) {
        let found = self
            .held
            .iter()
            .find(|(_, held)| held.assignment == *assignment)
            .map(|(partition, _)| *partition);
        let Some(partition) = found else { return };
        let spoken = self.speak();
        let member = self.member;
        let let_go = spoken.and_then(|_| {
            let recording = Recording::open(&self.files.recording()).map_err(away)?;
            let release = |group: &mut Group| {
                if group.owns(member, partition, assignment.epoch)
                    && let Some(stored) = group.partitions.get_mut(partition)
                {
                    let (stream, index) = (assignment.stream.to_string(), Index::from(stored.committed));
                    // Written before anybody can act on it.
                    recording.append(&Line::HandedOver { process: member, stream, index })?;
                    (stored.owner, stored.revoked) = (None, false);
                }
                Ok(())
            };
            self.files.speak(member, release).and_then(|released| released).map_err(away)
        });
        // Without it the session runs out, and the partition is somebody else's then.
        drop(let_go);
        self.held.remove(&partition);
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.speak()?;
        let member = self.member;
        self.files.speak(member, |group| group.leave(member)).map_err(away)?;
        self.held.clear();
        Ok(())
    }
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.describe())
    }
}
