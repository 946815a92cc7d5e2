//! How large a check is: what there is, and how many faults may happen.

use crate::state::Op;

/// How released events come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// As copies through the retry topic.
    Broker,
    /// In the relay's own process.
    InProcess,
    /// Either, event by event.
    Both,
}

/// What there is, and the budget of each fault.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope {
    /// Events of the entity, at most [`EVENTS_MAX`](crate::state::EVENTS_MAX).
    pub(crate) events: u8,
    pub(crate) window: u8,
    /// Whether the main stream is shared rather than owned.
    pub(crate) shared: bool,
    pub(crate) way: Way,
    /// Whether an in-process run claims the next event with its result.
    pub(crate) claims_next: bool,
    pub(crate) processes: usize,
    pub(crate) runners: usize,
    pub(crate) relays: usize,
    /// Events decided at once, or received at once from a shared stream.
    pub(crate) batch: u8,
    /// How often a handler may fail.
    pub(crate) failures: u8,
    pub(crate) crashes: u8,
    pub(crate) takeovers: u8,
    /// Claims that run out under a living run, and retry copies that are delivered again.
    pub(crate) expiries: u8,
    /// Messages of a shared stream that become visible again under a living handler.
    pub(crate) visibilities: u8,
    /// Times that the relay looks again although the copies are still on their way.
    pub(crate) early_looks: u8,
    /// Store calls whose answer is lost, so that they are made again.
    pub(crate) unknowns: u8,
    pub(crate) give_backs: u8,
    pub(crate) refreshes: u8,
    pub(crate) operations: u8,
    pub(crate) actions: &'static [Op],
    /// Other events that come at an index that is logged.
    pub(crate) impostors: u8,
    /// Whether parked events are mirrored.
    pub(crate) mirror: bool,
    /// Publishes to the mirror that fail, or whose answer is lost.
    pub(crate) mirror_faults: u8,
    /// The event that kills the process that runs it; zero for none.
    pub(crate) killer: u8,
    /// Attempts after which an event parks; zero for no limit.
    pub(crate) attempts_max: u8,
    /// Events that an owner may have running or waiting past the settled one.
    pub(crate) uncommitted_max: u8,
    /// Events held at most; zero for no limit.
    pub(crate) held_max: u8,
    /// Whether the retry stream is revoked politely: the handler is dropped, its store call is not.
    pub(crate) polite: bool,
}

/// Two events of an owned stream, one process, the broker's way back, and no fault but one failing handler.
pub(crate) const BASE: Scope = Scope {
    events: 2,
    window: 2,
    shared: false,
    way: Way::Broker,
    claims_next: false,
    processes: 1,
    runners: 1,
    relays: 1,
    batch: 1,
    failures: 1,
    crashes: 0,
    takeovers: 0,
    expiries: 0,
    visibilities: 0,
    early_looks: 0,
    unknowns: 0,
    give_backs: 0,
    refreshes: 0,
    operations: 0,
    actions: &[],
    impostors: 0,
    mirror: false,
    mirror_faults: 0,
    killer: 0,
    attempts_max: 0,
    uncommitted_max: 4,
    held_max: 0,
    polite: false,
};
