//! What goes into a step.

use std::{fmt, sync::Arc, time::Duration};

use super::OperatorRefusal;
use crate::{Digest, Event, Headers, Index, ParkCause, Timestamp};
use bytes::Bytes;

/// The longest text of a failure that is kept, in bytes; longer ones are cut.
pub const FAILURE_TEXT_BYTES_MAX: usize = 2_048;

/// The right to run a head once: no two claims ever have the same token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimToken(u128);

impl ClaimToken {
    /// The token with this number.
    #[must_use]
    pub const fn new(token: u128) -> Self {
        Self(token)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u128 {
        self.0
    }
}

impl fmt::Debug for ClaimToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A handler's failure, as the log keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// When it happened, by the log's clock; [`step`](super::step) sets it.
    pub at: Timestamp,
    /// Which attempt it was, counted from 1; [`step`](super::step) sets it.
    pub attempt: u32,
    /// The error's type, to group failures by.
    pub class: Arc<str>,
    /// What the error said, with its sources; cut to [`FAILURE_TEXT_BYTES_MAX`], without NUL.
    pub text: Arc<str>,
}

impl Failure {
    /// A failure with this class and text, cut to what the log keeps.
    #[must_use]
    pub fn new(class: &str, text: &str) -> Self {
        Self { at: Timestamp::default(), attempt: 0, class: clean(class), text: clean(text) }
    }

    pub(super) fn on(&self, attempt: u32, now: Timestamp) -> Self {
        Self { at: now, attempt, class: Arc::clone(&self.class), text: Arc::clone(&self.text) }
    }
}

fn clean(text: &str) -> Arc<str> {
    let cut = |text: &str| Arc::from(&text[..text.floor_char_boundary(FAILURE_TEXT_BYTES_MAX)]);
    let kept: Arc<str> = cut(text);
    // What stands for NUL has three bytes, so that the text may have become too long again.
    if kept.contains('\0') { cut(&kept.replace('\0', "\u{2400}")) } else { kept }
}

/// What is to follow a failure: the retry policy's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// Another attempt, after so long.
    Retry(Duration),
    /// None, until an operator acts.
    Park(ParkCause),
}

/// One event of the main stream whose turn has come.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The event.
    pub event: Event,
    /// Whether it may have been running when a process died: it is then logged before it runs.
    pub suspect: bool,
}

/// What a caller must still be allowed to do when its write happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Guard {
    /// The caller owns the stream: refused unless the stream's generation is still this one.
    Owned {
        /// The generation that the caller's takeover raised the stream to.
        generation: u64,
    },
    /// The stream is shared: refused past the deadline of the delivery, if it has one.
    Shared {
        /// When the broker may hand the event to somebody else, less a margin, by the log's clock.
        deadline: Option<Timestamp>,
    },
    /// The input brings its own proof: a claim's token, or a gate's version.
    Unguarded,
}

/// What an operator wants done.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Run the head again now, with its attempts counted anew; un-parks.
    Retry,
    /// Stop retrying until further notice.
    Park,
    /// Give the head up: it is resolved without having been handled.
    Skip,
    /// Give up every logged event up to and including this index.
    DiscardThrough(Index),
    /// Replace the head's payload and headers, then retry it.
    Edit {
        /// The new payload.
        payload: Option<Bytes>,
        /// The new headers.
        headers: Headers,
    },
    /// Hold what comes from now on.
    Pause,
    /// Let it flow again, in order.
    Resume,
    /// Give up events that are kept beside the log as conflicts: with this digest, or all of them at this index. What
    /// is logged there stays, and the entity stays parked until it is retried or resumed.
    VoidConflict {
        /// Where they are.
        index: Index,
        /// Which of them; none: all of them.
        digest: Option<Digest>,
    },
    /// Publish a parked head to the mirror, again if it has been.
    Mirror,
    /// Write down why, and change nothing.
    Note,
}

/// One operator's action on one entity.
#[derive(Clone, Debug)]
pub struct Operation {
    /// What to do.
    pub action: Action,
    /// The head that the operator saw; none where there was none.
    pub index: Option<Index>,
    /// The gate's version that the operator saw; zero where there was no gate.
    pub version: u64,
    /// Who asks.
    pub by: Arc<str>,
    /// Why.
    pub why: Arc<str>,
    /// Names this request: when it comes again, the first outcome is returned.
    pub request_id: Option<Arc<str>>,
}

/// What happened, or what somebody wants.
#[derive(Clone, Debug)]
pub enum Input {
    /// Events of the main stream, by ascending index, whose turn has come.
    Arrive {
        /// At least one; all of the gate's entity and stream.
        events: Vec<Arrival>,
    },
    /// The handler failed on an event of the main stream.
    Fail {
        /// The event.
        event: Event,
        /// Attempts made on it in place.
        attempts: u32,
        /// The last one's failure.
        failure: Failure,
        /// What is to follow.
        next: Next,
    },
    /// The handler said that an event of the main stream is to be ignored: resolved, and written down.
    Ignore {
        /// The event's index.
        index: Index,
        /// What the handler said.
        failure: Failure,
    },
    /// The relay found the gate due.
    Take,
    /// Somebody wants to run the head.
    Claim {
        /// The event that it means to run.
        index: Index,
        /// Attempts made on it, as the copy says.
        attempts: u32,
        /// A token never used before.
        token: ClaimToken,
    },
    /// A run goes on and wants more time.
    Renew {
        /// Its claim.
        token: ClaimToken,
    },
    /// A run succeeded.
    Resolve {
        /// Its claim.
        token: ClaimToken,
        /// Whether the next event comes back in-process, at once, rather than through the broker.
        in_process: bool,
        /// A token never used before, to claim the next event in the same write.
        next: Option<ClaimToken>,
        /// What the handler said, when it asked for the event to be ignored.
        ignored: Option<Failure>,
    },
    /// A run failed.
    FailAgain {
        /// Its claim.
        token: ClaimToken,
        /// The failure.
        failure: Failure,
        /// What is to follow.
        next: Next,
    },
    /// A run was broken off through no fault of the event's: its attempt does not count.
    GiveBack {
        /// Its claim.
        token: ClaimToken,
        /// When it is to be tried again.
        after: Duration,
    },
    /// The mirror of parked events has the head, or refuses it for good.
    Mirrored {
        /// The event that was mirrored.
        index: Index,
        /// The gate's version when it was taken: after any change of the gate it does not count.
        version: u64,
        /// Why the mirror will never take it, if that is so: it is given up, and written down.
        refused: Option<Failure>,
    },
    /// An operator acts.
    Operate(Operation),
}

/// What the log has at an arriving event's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LoggedAt {
    /// The digest of the event logged there.
    pub digest: Digest,
    /// Whether the arriving event itself is already kept there, as a conflict.
    pub conflict_known: bool,
}

/// What a step must know of the log's rows. A store fills in what the input asks for, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// For `Arrive` (one per event) and `Fail` (one): what is logged at the event's index.
    pub logged: Vec<Option<LoggedAt>>,
    /// For `Resolve` and `Operate`: how many rows are at or below [`Input::bound`].
    pub passed_events: u64,
    /// Their bytes.
    pub passed_bytes: u64,
    /// The last of them.
    pub passed_last: Option<Index>,
    /// The first row above the bound.
    pub next: Option<Index>,
    /// The row [`Settings::release_window`] rows from `next`, counting it, or the last one there is.
    pub window_end: Option<Index>,
    /// For `Operate` with [`Action::VoidConflict`]: how many of the events kept beside the log it names.
    pub conflicts_named: u32,
    /// For `Operate` with a request id: what the audit says came of that request when it was first made.
    pub earlier_outcome: Option<Result<u64, OperatorRefusal>>,
}

impl Input {
    /// The index that splits the log's rows for this input: what is passed, and what comes next.
    ///
    /// None where the input asks nothing of the kind.
    #[must_use]
    pub fn bound(&self, gate: &super::Gate) -> Option<Index> {
        match self {
            Self::Operate(Operation { action: Action::DiscardThrough(index), .. }) => Some(*index),
            Self::Resolve { .. } | Self::Operate(_) => gate.head,
            Self::Arrive { .. }
            | Self::Fail { .. }
            | Self::Ignore { .. }
            | Self::Take
            | Self::Claim { .. }
            | Self::Renew { .. }
            | Self::FailAgain { .. }
            | Self::GiveBack { .. }
            | Self::Mirrored { .. } => None,
        }
    }
}

/// What a consumer has configured, as far as the protocol needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many events of one entity are published before the first of them must be resolved.
    pub release_window: u32,
    /// How long the relay waits for a published event to come back before it publishes again; doubled each time.
    pub redelivery_timeout: Duration,
    /// How long a claim lasts unless it is renewed.
    pub claim_timeout: Duration,
    /// Attempts after which a lost run parks.
    pub attempts_max: u32,
    /// Events held for one entity, the head among them.
    pub held_events_max: u64,
    /// Bytes held for one entity.
    pub held_bytes_max: u64,
    /// Whether heads of parked gates fall due for a mirror. Every process of a consumer must say the same: a relay that
    /// mirrors nothing forgets what it finds due.
    pub mirror_parked: bool,
}

/// When a step happens.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The log's time.
    pub now: Timestamp,
    /// A version never used before.
    pub version: u64,
    /// The consumer's settings.
    pub settings: &'a Settings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_text_of_a_megabyte_is_cut_at_a_character_and_keeps_no_nul() {
        let failure = Failure::new("E", &format!("\0{}", "é".repeat(500_000)));
        assert!(failure.text.len() <= FAILURE_TEXT_BYTES_MAX && failure.text.len() > 2_000);
        assert!(!failure.text.contains('\0'));
        assert!(Failure::new("E", &"\0".repeat(5_000)).text.len() <= FAILURE_TEXT_BYTES_MAX);
    }
}
