//! An entity's turn in a worker.

use std::collections::VecDeque;

use super::life::Dispatched;

/// What an entity's turn is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Its first event waits to be started.
    Ready,
    /// An event is in its handler, or its failure on its way into the log.
    Handling,
    /// So many events are on their way into the log.
    Deciding(usize),
    /// Its first event waits for a limit on what is held.
    Limited,
}

/// An entity that has events in a worker: one at a time, in order. It is dropped when it has none.
pub(crate) struct Lane {
    pub(crate) turn: Turn,
    /// In order; while something runs, what runs is at the front.
    pub(crate) queue: VecDeque<Dispatched>,
    /// A failure of the entity has been logged while its events were here.
    pub(crate) gated: bool,
    /// The log has said that the first event may run.
    pub(crate) cleared: bool,
    /// The log has said that the entity holds as much as it may, and nothing else since.
    pub(crate) limited: bool,
}

impl Lane {
    pub(crate) fn new(turn: Turn, first: Dispatched) -> Self {
        Self { turn, queue: VecDeque::from([first]), gated: false, cleared: false, limited: false }
    }
}
