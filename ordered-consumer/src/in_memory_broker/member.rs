//! A group's member, as the broker sees it.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use crate::{Assignment, Event, Index, Lease, SourceMessage};

/// A member of a group, for the hooks that crash one or take something from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub(super) u64);

/// Where a stream is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: Arc<str>,
    pub(super) partition: u32,
}

/// A member, and what it is yet to be told.
pub(super) struct Member {
    pub(super) topics: BTreeSet<Arc<str>>,
    pub(super) takes_copies: bool,
    pub(super) copies_paused: bool,
    /// Whether it is told the end once everything is settled, closed or not.
    pub(super) ends: bool,
    pub(super) end_was_told: bool,
    pub(super) notices: VecDeque<SourceMessage>,
    pub(super) held: Vec<Held>,
    /// The stream whose turn it is, among those held.
    pub(super) turn: usize,
    /// Whether copies go before events the next time, so that neither starves the other.
    pub(super) copies_first: bool,
    /// When it last asked for its next message.
    pub(super) heard_at: Instant,
    /// With a latency, nothing comes before this.
    pub(super) ready_at: Option<Instant>,
}

/// A stream assigned to a member, or one that the member still believes to be.
pub(super) struct Held {
    pub(super) assignment: Assignment,
    pub(super) place: Place,
    /// What comes next is the first event after this index; none: from the start.
    pub(super) after: Option<u128>,
    /// The highest index that was delivered under the assignment, or settled before it.
    pub(super) delivered: Option<u128>,
    /// With a session timeout: until when the stream is known to be the member's.
    pub(super) lease: Option<Lease>,
    pub(super) confirmed: bool,
    pub(super) paused: bool,
    /// What the member is yet to be told about its settlements.
    pub(super) settled: Option<Index>,
    /// Set when the stream belongs to somebody else already, and the member does not know.
    pub(super) lost: Option<Lost>,
}

/// What a member that lost a stream still gets.
pub(super) struct Lost {
    /// What it had buffered.
    pub(super) buffered: VecDeque<Event>,
    /// When it learns that the stream is lost.
    pub(super) told_at: Instant,
}

impl Member {
    pub(super) fn new(topics: BTreeSet<Arc<str>>, now: Instant) -> Self {
        Self {
            topics,
            takes_copies: false,
            copies_paused: false,
            ends: false,
            end_was_told: false,
            notices: VecDeque::new(),
            held: Vec::new(),
            turn: 0,
            copies_first: false,
            heard_at: now,
            ready_at: None,
        }
    }

    pub(super) fn held(&mut self, assignment: &Assignment) -> Option<&mut Held> {
        self.held.iter_mut().find(|held| held.assignment == *assignment)
    }

    /// The member is alive: its leases last so long again, except those of streams that are somebody else's already.
    pub(super) fn is_heard(&mut self, now: Instant, session_timeout: Option<Duration>) {
        self.heard_at = now;
        let Some(lasts) = session_timeout else { return };
        let owned = self.held.iter().filter(|held| held.lost.is_none());
        for lease in owned.filter_map(|held| held.lease.as_ref()) {
            lease.extend(lasts);
        }
    }

    /// Forgets an assignment; the others keep their turns.
    pub(super) fn forget(&mut self, assignment: &Assignment) {
        if let Some(at) = self.held.iter().position(|held| held.assignment == *assignment) {
            self.held.remove(at);
            if self.turn > at {
                self.turn -= 1;
            }
        }
    }

    /// Forgets an assignment and says that it is lost.
    pub(super) fn lose(&mut self, assignment: &Assignment) {
        self.forget(assignment);
        self.notices.push_back(SourceMessage::Revoked { assignments: vec![assignment.clone()], lost: true });
    }

    /// Whether the member still believes that it owns the stream of this place, although it does not.
    pub(super) fn is_unaware(&self, place: &Place) -> bool {
        self.held.iter().any(|held| held.lost.is_some() && held.place == *place)
    }
}
