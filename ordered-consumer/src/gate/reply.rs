//! What comes out of a step.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Action, Gate, GateSummary, ParkCause, ParkedHead, Taken};
use crate::{Digest, Index, Timestamp};

/// What became of one arriving event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Its entity is clear: run the handler.
    Run,
    /// It is resolved, or in the log already: done with it.
    Duplicate,
    /// It is in the log, behind the head or, where nothing was there, as the head: done with it.
    Held,
    /// It is in the log without having run, because its last run may have killed a process: done with it.
    Suspect,
    /// Another event is logged at its index: both are kept, and the entity is parked.
    Conflict,
    /// The entity holds as much as it may: nothing was written, and the event must wait.
    Full,
    /// An event before it was told to run, or must wait: ask again when its turn comes.
    Undecided,
}

/// What became of an event whose handler failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Logged {
    /// It is the head, and tried again when this time has come.
    Retrying {
        /// When.
        due_at: Timestamp,
    },
    /// It is the head, and parked.
    Parked(ParkCause),
    /// It is held behind the head.
    Held,
    /// It was resolved, or in the log, already.
    Known,
    /// Another event is logged at its index: both are kept, and the entity is parked.
    Conflict,
}

/// A claim that was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The event to run, whose payload comes from the log.
    pub index: Index,
    /// Which attempt this is, counted from 1.
    pub attempt: u32,
    /// When the event first failed.
    pub first_failed_at: Option<Timestamp>,
    /// Whether it must run alone in its process, because its last run was lost.
    pub alone: bool,
    /// The handler must be dropped before this, unless the claim is renewed.
    pub deadline: Timestamp,
    /// Since when its entity has not flowed freely.
    pub since: Timestamp,
}

/// Why a claim was refused: the copy is a duplicate or out of turn, and done with; the log has the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClaimRefusal {
    /// The event is resolved, or is not the head.
    NotHead,
    /// The copy is of another attempt.
    OtherAttempt,
    /// A run has the head.
    Running,
    /// The entity is parked.
    Parked,
}

/// What a success led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resolved {
    /// The claim on the next event, where it was asked for and could be granted.
    pub next: Option<Grant>,
    /// The next event, if there is one.
    pub head: Option<Index>,
}

/// Why a write was refused before the gate was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FenceRefusal {
    /// The stream has been taken over since.
    StaleGeneration {
        /// The stream's generation now; none when it has never been taken over.
        current: Option<u64>,
    },
    /// The delivery's deadline has passed.
    DeadlinePassed,
}

/// Why an operator's action was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorRefusal {
    /// The gate is not what the operator saw.
    #[error(
        "the entity has changed since you looked (its version is {current} now); look again, then decide"
    )]
    Stale {
        /// The version now; zero where there is no gate any more.
        current: u64,
    },
    /// A run has the head.
    #[error("the event is running at this moment; wait until its run has ended, or park the entity first")]
    Running,
    /// There is no such event.
    #[error("nothing is held for the entity, so there is nothing to act on")]
    NothingHeld,
    /// It is not parked or paused.
    #[error("the entity is neither parked nor paused")]
    NotParked,
    /// The named index is not one up to which events are held.
    #[error("no held event lies at or before that index")]
    BelowHead,
    /// The named conflict is not there.
    #[error("no such event is kept beside the entity's held ones; look again, then decide")]
    NoSuchConflict,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To `Arrive`: one verdict for each event.
    Arrived(Vec<Verdict>),
    /// To `Fail`.
    Logged(Logged),
    /// To `Ignore`: it is written down.
    Noted,
    /// To `Take`: the relay may publish this.
    Taken(Taken),
    /// To `Take`: the gate is parked, and its head is for the mirror, and for nothing else.
    TakenParked(ParkedHead),
    /// To `Take`: nothing to publish, parked now if that is why.
    NotTaken {
        /// The cause, where the gate is parked.
        parked: Option<ParkCause>,
    },
    /// To `Claim`: run it.
    Claimed(Grant),
    /// To `Claim`: do not.
    ClaimRefused(ClaimRefusal),
    /// To `Renew`: it lasts until then.
    Renewed {
        /// The new deadline.
        deadline: Timestamp,
    },
    /// To `Resolve`.
    Resolved(Resolved),
    /// To `FailAgain`.
    FailedAgain(Logged),
    /// To `GiveBack`.
    GivenBack,
    /// To `Mirrored`.
    Mirrored {
        /// Whether the gate is still what was mirrored; if not, whatever changed it has made it due again, or un-parked it.
        counts: bool,
    },
    /// To whatever names a claim: it is not the gate's any more, so the result does not count.
    ClaimLost,
    /// To `Operate`: done; the gate's version now, or zero where there is none.
    Operated {
        /// The version.
        version: u64,
    },
    /// To `Operate`: refused.
    OperatorRefused(OperatorRefusal),
    /// To anything: the caller has lost the right to ask.
    Fenced(FenceRefusal),
}

/// A line of the audit: who did what to which event, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// What was done: `retry`, `park`, `skip`, `discard`, `edit`, `pause`, `resume`, `void`, `mirror`, `note`,
    /// `ignore` or `not mirrored`; to a
    /// stream, `replay` or `new stream`.
    pub action: &'static str,
    /// The event it was done to.
    pub index: Option<Index>,
    /// Who did it: an operator, `handler` or `relay`.
    pub by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// The request's own name, if it had one.
    pub request_id: Option<Arc<str>>,
    /// What came of it: the version, or why it was refused.
    pub outcome: Result<u64, OperatorRefusal>,
    /// What an operator found: the gate before the action; none where there was none, and in lines that are not about
    /// an operator's action on an entity.
    pub before: Option<GateSummary>,
    /// What the operator left behind: the same as `before` where nothing was changed.
    pub after: Option<GateSummary>,
}

/// What a store must write, in one transaction, and what to answer.
#[derive(Clone, Debug)]
pub struct Step {
    /// The gate as it must be afterwards; none: no row. A store compares with what it loaded and writes a change.
    pub gate: Option<Gate>,
    /// Which of the input's events to insert: positions in `Arrive::events`, or 0 for the event of `Fail`.
    pub insert: Vec<usize>,
    /// Which of them to keep beside the log, as conflicts.
    pub insert_conflicts: Vec<usize>,
    /// Delete every row up to and including this index.
    pub delete_through: Option<Index>,
    /// Replace the head's payload and headers by the operation's; its digest stays the original's. Unless it has been
    /// edited before, the event as it came is kept first, for [`FailureLog::original`](crate::FailureLog::original).
    pub edit_head: Option<Index>,
    /// Delete the events that are kept beside the log at this index: those with this digest, or all of them.
    pub delete_conflicts: Option<(Index, Option<Digest>)>,
    /// Return the row at this index, as it is after the writes, with the answer.
    pub read: Option<Index>,
    /// Append this to the audit.
    pub audit: Option<Audit>,
    /// The answer.
    pub reply: Reply,
}

impl Step {
    /// Writes nothing.
    #[must_use]
    pub fn unchanged(gate: Option<Gate>, reply: Reply) -> Self {
        Self {
            gate,
            insert: Vec::new(),
            insert_conflicts: Vec::new(),
            delete_through: None,
            edit_head: None,
            delete_conflicts: None,
            read: None,
            audit: None,
            reply,
        }
    }

    pub(super) fn write(gate: Gate, reply: Reply) -> Self {
        Self::unchanged(Some(gate), reply)
    }

    pub(super) fn reading(mut self, index: Option<Index>) -> Self {
        self.read = index;
        self
    }
}

impl Action {
    /// The word that the audit keeps.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Park => "park",
            Self::Skip => "skip",
            Self::DiscardThrough(_) => "discard",
            Self::Edit { .. } => "edit",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::VoidConflict { .. } => "void",
            Self::Mirror => "mirror",
            Self::Note => "note",
        }
    }
}
