//! Everything that a state of the check consists of: small numbers only, so that it copies and hashes fast.

use ordered_consumer::ParkCause;

use crate::scope::Scope;

/// Events are numbered from 1, so that 0 can mean none.
pub(crate) const EVENTS_MAX: usize = 4;
/// Copies that the retry topic holds at most; a relay waits for room.
pub(crate) const TOPIC_MAX: usize = 6;
/// In `in_flight`: whoever had the message is dead, and it is not visible yet.
pub(crate) const DEAD: u8 = 3;

/// When the relay looks at a gate again: all that matters of a time.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Due {
    Never,
    /// At once, or after a backoff: it may happen at any moment.
    Now,
    /// After the redelivery timeout.
    Redelivery,
    /// At the claim's deadline.
    Deadline,
}

/// A gate without what the rows already say, and without times and failures.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct SmallGate {
    pub(crate) resolved: u8,
    pub(crate) head: u8,
    pub(crate) released: u8,
    pub(crate) attempts: u8,
    pub(crate) due: Due,
    pub(crate) claim: u8,
    pub(crate) parked: Option<ParkCause>,
    pub(crate) conflicts: u8,
    /// Always 1, but where a mutant counts versions anew in each gate.
    pub(crate) version: u8,
}

/// How far a process has come with taking the stream over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Ownership {
    #[default]
    None,
    Assigned,
    GenerationRead,
    Confirmed,
    Raised,
    Active,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum MainPhase {
    #[default]
    Idle,
    Running,
    /// The handler failed; its failure is to be logged.
    Failed,
    /// Only a mutant's: it has looked at the generation, and writes in another transaction.
    FailedAndChecked,
}

/// The main stream's consumer in one process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Main {
    pub(crate) ownership: Ownership,
    pub(crate) generation: u8,
    /// Whether the gate cache has the entity.
    pub(crate) cached: bool,
    /// Events up to and including this one may have been running when the last owner died.
    pub(crate) suspects: u8,
    /// The next event that the broker delivers here.
    pub(crate) next: u8,
    pub(crate) phase: MainPhase,
    pub(crate) event: u8,
    /// Only a mutant's: a failure that waits in a batch while the entity goes on.
    pub(crate) batched: u8,
    /// Only a mutant's: events that a batch has already told to run.
    pub(crate) told: u8,
    /// A refresh of the cache under way: 1 found nothing, 2 found the gate.
    pub(crate) refresh: u8,
    // Shared streams only:
    pub(crate) received: u8,
    pub(crate) redelivered: u8,
    pub(crate) to_delete: u8,
    /// The one look-up for the receive said that there is no gate.
    pub(crate) found_clear: bool,
    /// The deadline of this receive has passed.
    pub(crate) expired: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(crate) enum RunPhase {
    #[default]
    Idle,
    /// It asked for a claim and got no answer.
    Claiming,
    Running,
    Succeeded,
    Failed,
    GivingBack,
}

/// One who runs heads under claims.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Runner {
    pub(crate) phase: RunPhase,
    pub(crate) event: u8,
    /// Before the claim: the attempts that the copy names. After it: the attempt that this is.
    pub(crate) attempt: u8,
    /// Whether its payload is the edited one.
    pub(crate) edited: bool,
    pub(crate) token: u8,
    /// The token by which it asked for the next event, when the answer was lost.
    pub(crate) next_token: u8,
    /// Whether it came as a copy from the topic, which still waits for it.
    pub(crate) has_copy: bool,
    pub(crate) in_process: bool,
    /// Its claim has run out, and nobody could stop it.
    pub(crate) zombie: bool,
}

/// How far a relay has come with the mirror.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(crate) enum Mirroring {
    #[default]
    No,
    ToPublish,
    ToTell,
}

/// What a relay has taken and not yet published.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Relay {
    pub(crate) left: u8,
    pub(crate) head: u8,
    pub(crate) attempts: u8,
    /// A relay with this has taken a parked gate.
    pub(crate) mirroring: Mirroring,
    /// The parked gate still has the version with which it was taken.
    pub(crate) fresh: bool,
}

/// A copy in the retry topic.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Copied {
    pub(crate) event: u8,
    pub(crate) attempts: u8,
    pub(crate) edited: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Op {
    Skip,
    Park,
    Retry,
    Discard,
    Edit,
    Pause,
    Resume,
    /// Says one further than what is held: it must go no further than the last row.
    DiscardBeyond,
    /// Gives up what is kept beside the head.
    Void,
    Mirror,
    Note,
}

/// An operator has looked and decided, and has not acted yet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Pending {
    pub(crate) op: Op,
    pub(crate) head: u8,
    pub(crate) through: u8,
    pub(crate) saw_gate: bool,
    pub(crate) version: u8,
    /// The gate still has the version that was seen.
    pub(crate) fresh: bool,
    /// Its head, state and attempts have been what was seen ever since.
    pub(crate) same: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum LateCall {
    Fail,
    Resolve,
    FailAgain,
}

/// A store call that outlives its dropped caller.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Late {
    pub(crate) call: LateCall,
    pub(crate) event: u8,
    /// The generation of a `Fail`, the token of the others.
    pub(crate) right: u8,
    pub(crate) attempt: u8,
    pub(crate) next_token: u8,
}

/// Faults that may still happen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Budget {
    pub(crate) failures: u8,
    pub(crate) crashes: u8,
    pub(crate) takeovers: u8,
    pub(crate) expiries: u8,
    pub(crate) visibilities: u8,
    pub(crate) early_looks: u8,
    pub(crate) unknowns: u8,
    pub(crate) give_backs: u8,
    pub(crate) refreshes: u8,
    pub(crate) operations: u8,
    pub(crate) impostors: u8,
    pub(crate) mirror_faults: u8,
}

/// One state of everything.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct State {
    // The failure log.
    pub(crate) gate: Option<SmallGate>,
    pub(crate) rows: u8,
    pub(crate) edited: u8,
    /// Positions at which another event is kept beside the log.
    pub(crate) conflicts: u8,
    pub(crate) generation: u8,
    pub(crate) clean: bool,
    // The broker's main stream.
    pub(crate) owner: u8,
    pub(crate) committed: u8,
    pub(crate) in_flight: [u8; EVENTS_MAX + 1],
    pub(crate) deleted: u8,
    pub(crate) delivered: u8,
    // Its retry topic.
    pub(crate) topic: [Copied; TOPIC_MAX],
    pub(crate) topic_len: u8,
    pub(crate) topic_next: u8,
    /// Whether a runner has the copy at `topic_next`.
    pub(crate) topic_taken: bool,
    // The processes.
    pub(crate) mains: [Main; 2],
    pub(crate) runners: [Runner; 2],
    pub(crate) relays: [Relay; 2],
    pub(crate) pending: Option<Pending>,
    pub(crate) late: Option<Late>,
    // What has happened.
    pub(crate) done: u8,
    pub(crate) skipped: u8,
    pub(crate) last: u8,
    pub(crate) floor: u8,
    pub(crate) operator_parked: bool,
    /// The mirror has the head as it is parked now.
    pub(crate) mirrored: bool,
    pub(crate) kills: u8,
    pub(crate) left: Budget,
}

impl State {
    pub(crate) fn first(scope: &Scope) -> Self {
        let mut mains = [Main::default(); 2];
        if !scope.shared {
            mains[0] = Main { ownership: Ownership::Active, generation: 1, next: 1, ..Main::default() };
        }
        Self {
            gate: None,
            rows: 0,
            edited: 0,
            conflicts: 0,
            generation: 1,
            clean: false,
            owner: 0,
            committed: 1,
            in_flight: [0; EVENTS_MAX + 1],
            deleted: 0,
            delivered: 0,
            topic: [Copied::default(); TOPIC_MAX],
            topic_len: 0,
            topic_next: 0,
            topic_taken: false,
            mains,
            runners: [Runner::default(); 2],
            relays: [Relay::default(); 2],
            pending: None,
            late: None,
            done: 0,
            skipped: 0,
            last: 0,
            floor: 0,
            operator_parked: false,
            mirrored: false,
            kills: 0,
            left: Budget {
                failures: scope.failures,
                crashes: scope.crashes,
                takeovers: scope.takeovers,
                expiries: scope.expiries,
                visibilities: scope.visibilities,
                early_looks: scope.early_looks,
                unknowns: scope.unknowns,
                give_backs: scope.give_backs,
                refreshes: scope.refreshes,
                operations: scope.operations,
                impostors: scope.impostors,
                mirror_faults: scope.mirror_faults,
            },
        }
    }

    /// A token that nobody has.
    pub(crate) fn free_token(&self, but: u8) -> u8 {
        let used = |token: u8| {
            token == but
                || self.gate.is_some_and(|gate| gate.claim == token)
                || self.runners.iter().any(|run| run.token == token || run.next_token == token)
                || self.late.is_some_and(|late| late.next_token == token || late.right == token)
        };
        (1..=9).find(|token| !used(*token)).unwrap_or(9)
    }

    /// The runner that lives under the gate's claim, if one does.
    pub(crate) fn living_claimant(&self) -> Option<usize> {
        let claim = self.gate.map_or(0, |gate| gate.claim);
        let has = |run: &Runner| run.token == claim || run.next_token == claim;
        self.runners.iter().position(|run| run.phase != RunPhase::Idle && has(run))
    }
}

pub(crate) fn bit(event: u8) -> u8 {
    1 << event
}

pub(crate) fn has(set: u8, event: u8) -> bool {
    set & bit(event) != 0
}

/// The lowest event of a set, or 0.
pub(crate) fn lowest(set: u8) -> u8 {
    (1..8).find(|event| has(set, *event)).unwrap_or(0)
}

/// The highest event of a set, or 0.
pub(crate) fn highest(set: u8) -> u8 {
    (1..8).rev().find(|event| has(set, *event)).unwrap_or(0)
}

/// All events up to and including this one.
pub(crate) fn through(event: u8) -> u8 {
    (1..=event).fold(0, |set, event| set | bit(event))
}
