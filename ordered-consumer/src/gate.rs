//! The gate protocol: what happens to an entity that is not flowing freely. **Read this first.**
//!
//! Pure functions, without I/O and without a clock: a gate, what the log knows and an input go in, the new gate and its
//! effects come out. Every failure log locks a gate, calls [`step`], and writes the result back, so that the protocol
//! exists once; the model check in `tests/model_check` runs on these very functions.
//!
//! ```text
//! resolved …│ head │ … released │ … tail
//!           └─ failed or next   └─ held
//!              └─── outbox ────┘
//! ```
//!
//! An entity without a gate is *clear*. A gate without events is *cleared* (a tombstone: it makes redelivered old
//! events duplicates) or, if it is parked, *paused*. Everything else has a head.

mod arrive;
mod decide;
mod input;
mod layout;
mod operate;
mod relay;
mod reply;
mod run;
mod stream;
mod summary;

pub use decide::{APART_TAKEN, SetApart, forget_resolved, replay, set_apart};
pub use input::{
    Action, Arrival, ClaimToken, FAILURE_TEXT_BYTES_MAX, Failure, Guard, Input, LoggedAt, Moment, Next,
    Operation, Rows, Settings,
};
pub use layout::{
    LAYOUT_CHANGES_MAX, LayoutChange, LayoutRecord, LayoutStep, Standing, has_passed, step_layout,
};
pub use relay::{ParkedHead, Taken};
pub use reply::{
    Audit, ClaimRefusal, FenceRefusal, Grant, Logged, OperatorRefusal, Reply, Resolved, Step, Verdict,
};
pub use stream::{
    Settle, StreamRecord, StreamRefusal, TakeOver, is_known, may_drop_tombstone, settle, take_over,
};
pub use summary::GateSummary;

use serde::{Deserialize, Serialize};

use crate::{Index, Timestamp};

/// Why an entity is parked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ParkCause {
    /// The head's attempts, or its time, are used up.
    Exhausted,
    /// The handler said that retrying cannot help.
    Permanent,
    /// The run of the last attempt was lost: its process may have died of it.
    LostRun,
    /// The log holds another event at the same index as one that came.
    Conflict,
    /// An operator parked or paused it.
    Operator,
}

impl ParkCause {
    /// The word that stores keep and people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Permanent => "permanent",
            Self::LostRun => "lost_run",
            Self::Conflict => "conflict",
            Self::Operator => "operator",
        }
    }

    /// The cause that [`as_str`](Self::as_str) gave this word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Exhausted, Self::Permanent, Self::LostRun, Self::Conflict, Self::Operator];
        all.into_iter().find(|cause| cause.as_str() == word)
    }
}

/// The failure log's one row for an entity that is not flowing freely.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Gate {
    /// Everything up to and including this index is resolved; none while that is not known.
    pub resolved: Option<Index>,
    /// The lowest unresolved event in the log; none when the log has no event of the entity.
    pub head: Option<Index>,
    /// The relay may publish up to and including this index; it has a value when `head` has.
    pub released: Option<Index>,
    /// Attempts made on the head.
    pub attempts: u32,
    /// When the relay looks next; with a claim, the claim's deadline; none when nothing is left, and when parked. With
    /// [`Settings::mirror_parked`], a parked head has a due time until the mirror has it: it says nothing of retries.
    pub due_at: Option<Timestamp>,
    /// The token of the run that has the head, if one has.
    pub claim: Option<ClaimToken>,
    /// Why retrying has stopped until an operator acts; none while it goes on.
    pub parked: Option<ParkCause>,
    /// Whether the last run of the head was lost; the next one then runs alone in its process.
    pub run_was_lost: bool,
    /// How often the relay has taken the gate since anything came back.
    pub takes: u32,
    /// Events in the log, the head among them.
    pub held_events: u64,
    /// Bytes of these events.
    pub held_bytes: u64,
    /// Events kept beside the log because another one is logged at their index.
    pub conflicts: u32,
    /// Changes with head, state or attempts, and is never used twice; operators name it. Zero means no gate.
    pub version: u64,
    /// When the gate last became cleared, or was created.
    pub since: Timestamp,
    /// The head's first failure.
    pub first_failure: Option<Failure>,
    /// The head's last failure.
    pub last_failure: Option<Failure>,
}

/// What a gate says about its entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Its head waits for its next attempt.
    Waiting,
    /// A run has the head.
    Running,
    /// Retrying has stopped; later events are held until an operator acts.
    Parked,
    /// An operator paused it while nothing was held; later events are held.
    Paused,
    /// Nothing is held: events flow, and redelivered old ones are duplicates.
    Cleared,
}

impl State {
    /// The word that stores keep and people read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Paused => "paused",
            Self::Cleared => "cleared",
        }
    }
}

impl Gate {
    /// What the gate says about its entity; a parked head that still runs is parked.
    #[must_use]
    pub fn state(&self) -> State {
        match (self.head, self.parked, self.claim) {
            (None, None, _) => State::Cleared,
            (None, Some(_), _) => State::Paused,
            (Some(_), Some(_), _) => State::Parked,
            (Some(_), None, Some(_)) => State::Running,
            (Some(_), None, None) => State::Waiting,
        }
    }

    /// Whether new events flow past it.
    #[must_use]
    pub fn is_cleared(&self) -> bool {
        self.state() == State::Cleared
    }

    /// Whether the event at this index is known to be resolved.
    fn is_past(&self, index: Index) -> bool {
        self.resolved.is_some_and(|resolved| index <= resolved) || self.head.is_some_and(|head| index < head)
    }

    /// Forgets the head's own history, when another event becomes head or an operator lets it begin anew.
    fn begin_head(&mut self) {
        self.attempts = 0;
        self.claim = None;
        self.run_was_lost = false;
        self.takes = 0;
        self.first_failure = None;
        self.last_failure = None;
    }

    fn record(&mut self, failure: Failure) {
        if self.first_failure.is_none() {
            self.first_failure = Some(failure.clone());
        }
        self.last_failure = Some(failure);
    }

    /// Parks the head; a run that has it keeps its claim, and the claim its deadline.
    fn park(&mut self, cause: ParkCause, moment: &Moment<'_>) {
        self.parked = Some(cause);
        if self.claim.is_none() {
            self.mirror(moment);
        }
    }

    /// Makes the head of a parked gate due for the mirror, where there is one; nothing else of a parked gate is ever due.
    fn mirror(&mut self, moment: &Moment<'_>) {
        let mirrors = moment.settings.mirror_parked && self.head.is_some();
        self.due_at = mirrors.then_some(moment.now);
        if mirrors {
            self.takes = 0;
        }
    }
}

/// Applies one input to a gate: the one place where the protocol is decided.
///
/// `gate` is none for a clear entity. `rows` holds what [`Rows`] says the log must be asked for this input, and
/// `stream` the record of the gate's stream. The caller holds the gate's lock, and the stream's shared, until what
/// the step says is written.
#[must_use]
pub fn step(
    gate: Option<Gate>,
    rows: &Rows,
    stream: Option<&StreamRecord>,
    guard: &Guard,
    input: &Input,
    moment: &Moment<'_>,
) -> Step {
    if let Err(refusal) = stream::admit(guard, stream, moment.now) {
        return Step::unchanged(gate, Reply::Fenced(refusal));
    }
    match input {
        Input::Arrive { events } => arrive::arrive(gate, rows, events, moment),
        Input::Fail { event, attempts, failure, next } => {
            arrive::fail(gate, rows, event, *attempts, failure, *next, moment)
        }
        Input::Ignore { index, failure } => arrive::ignore(gate, *index, failure),
        Input::Take => relay::take(gate, moment),
        Input::Claim { index, attempts, token } => run::claim(gate, *index, *attempts, *token, moment),
        Input::Renew { token } => run::renew(gate, *token, moment),
        Input::Resolve { token, in_process, next, ignored } => {
            run::resolve(gate, rows, *token, *in_process, *next, ignored.as_ref(), moment)
        }
        Input::FailAgain { token, failure, next } => run::fail_again(gate, *token, failure, *next, moment),
        Input::GiveBack { token, after } => run::give_back(gate, *token, *after, moment),
        Input::Mirrored { index, version, refused } => {
            relay::mirrored(gate, *index, *version, refused.as_ref())
        }
        Input::Operate(operation) => operate::operate(gate, rows, operation, moment),
    }
}
