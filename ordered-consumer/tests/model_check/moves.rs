//! What can happen next in a state.

use std::fmt;

use crate::state::State;

/// Which promise a counter-example breaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Promise {
    /// No handler starts, or succeeds on, an event while an earlier one is unresolved.
    Order,
    /// What was resolved does not run again, and a later success is not followed by an earlier event's.
    Regress,
    /// The broker is told "done" only when an event is handled, logged or skipped.
    Lost,
    /// In the end every event is handled or skipped.
    Stalled,
    /// Operators get what they asked for, or are told that they did not.
    Operator,
    /// An event that kills its process parks in the end.
    CrashLoop,
    /// Every parked head reaches the mirror, unless an operator un-parks it first.
    Mirrored,
    /// The gate agrees with the log's rows and with itself.
    Books,
}

/// A counter-example's last line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) why: String,
}

impl Broken {
    pub(crate) fn new(promise: Promise, why: impl Into<String>) -> Self {
        Self { promise, why: why.into() }
    }

    pub(crate) fn books(why: impl Into<String>) -> Self {
        Self::new(Promise::Books, why)
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.why)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// It will happen, unless something else does first.
    Go,
    /// It may happen, and uses up a budget.
    Fault,
    /// It may happen, and nothing waits for it.
    Idle,
}

/// One thing that can happen, and what it leads to.
pub(crate) struct Move {
    pub(crate) kind: Kind,
    pub(crate) what: &'static str,
    /// The process, the event and one more number, where they say something.
    pub(crate) details: [u8; 3],
    pub(crate) to: Result<State, Broken>,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [process, event, number] = self.details;
        let fault = if self.kind == Kind::Fault { "FAULT " } else { "" };
        write!(f, "{fault}{} [process {process}, event {event}, {number}]", self.what)
    }
}

/// Everything that can happen in a state.
#[derive(Default)]
pub(crate) struct Moves {
    pub(crate) list: Vec<Move>,
}

impl Moves {
    fn add(&mut self, kind: Kind, what: &'static str, details: [u8; 3], to: Result<State, Broken>) {
        self.list.push(Move { kind, what, details, to });
    }

    pub(crate) fn go(&mut self, what: &'static str, details: [u8; 3], to: Result<State, Broken>) {
        self.add(Kind::Go, what, details, to);
    }

    pub(crate) fn fault(&mut self, what: &'static str, details: [u8; 3], to: Result<State, Broken>) {
        self.add(Kind::Fault, what, details, to);
    }

    pub(crate) fn idle(&mut self, what: &'static str, details: [u8; 3], to: Result<State, Broken>) {
        self.add(Kind::Idle, what, details, to);
    }
}
