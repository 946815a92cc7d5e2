//! The model: a scope, the rules that are broken on purpose (none, or a mutant's), and the inputs, built once.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    Event, Headers, Index, NameError, ParkCause, StreamName, Timestamp,
    gate::{Action, Arrival, Failure, Guard, Input, Next, Operation, Settings},
};

use crate::{
    moves::{Broken, Moves},
    mutation::{Mutant, Mutants},
    scope::Scope,
    state::{Op, Pending, State},
};

/// Every step happens now; what matters of other times is only whether they have come.
pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_000_000);
pub(crate) const BACKOFF: Duration = Duration::from_millis(1);
pub(crate) const REDELIVERY_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const CLAIM_TIMEOUT: Duration = Duration::from_secs(100_000);
const MARGIN: Duration = Duration::from_secs(1);
/// Versions, as far as they matter: the one a gate has, the one a step may give it, and any that is past.
pub(crate) const VERSION: u64 = 100;
pub(crate) const VERSION_NEW: u64 = 101;
pub(crate) const VERSION_PAST: u64 = 99;

pub(crate) struct Model {
    pub(crate) scope: Scope,
    pub(crate) mutants: Mutants,
    pub(crate) settings: Settings,
    pub(crate) events: Vec<Event>,
    /// Another event for each position.
    pub(crate) impostors: Vec<Event>,
    pub(crate) failure: Failure,
    arrivals: Vec<Input>,
    why: Arc<str>,
}

impl Model {
    pub(crate) fn new(scope: Scope, mutants: &[Mutant]) -> Result<Self, NameError> {
        let stream = StreamName::new("s")?;
        let event = |position: u8| {
            let index = index_at(position, scope.events);
            Event::builder(stream.clone(), index, "e").payload(vec![position; usize::from(position)]).build()
        };
        let events: Vec<Event> = (0..=scope.events).map(event).collect();
        let impostor =
            |event: &Event| Event::builder(stream.clone(), event.index(), "e").payload("another").build();
        let impostors = events.iter().map(impostor).collect();
        let mut arrivals = Vec::new();
        for first in 0..=scope.events {
            for (suspect, last) in [(false, first), (true, first), (false, first + 1), (true, first + 1)] {
                let through = usize::from(last.min(scope.events));
                let of = |event: &Event| Arrival { event: event.clone(), suspect };
                let events = events[usize::from(first)..=through].iter().map(of).collect();
                arrivals.push(Input::Arrive { events });
            }
        }
        let limit = |max: u8| if max == 0 { u32::MAX } else { u32::from(max) };
        let settings = Settings {
            release_window: u32::from(scope.window),
            redelivery_timeout: REDELIVERY_TIMEOUT,
            claim_timeout: CLAIM_TIMEOUT,
            attempts_max: limit(scope.attempts_max),
            held_events_max: u64::from(limit(scope.held_max)),
            held_bytes_max: u64::MAX,
            mirror_parked: scope.mirror,
        };
        let failure = Failure::new("E", "no");
        let mutants = Mutants::of(mutants);
        Ok(Self { scope, mutants, settings, events, impostors, failure, arrivals, why: "why".into() })
    }

    pub(crate) fn breaks(&self, mutant: Mutant) -> bool {
        self.mutants.has(mutant)
    }

    /// All events of the scope.
    pub(crate) fn all(&self) -> u8 {
        crate::state::through(self.scope.events)
    }

    pub(crate) fn arrive(&self, event: u8, suspect: bool, two: bool) -> &Input {
        &self.arrivals[usize::from(event) * 4 + usize::from(two) * 2 + usize::from(suspect)]
    }

    pub(crate) fn fail(&self, event: u8) -> Input {
        let (failure, next) = (self.failure.clone(), self.next(1));
        Input::Fail { event: self.events[usize::from(event)].clone(), attempts: 1, failure, next }
    }

    /// The retry policy.
    pub(crate) fn next(&self, attempt: u8) -> Next {
        if self.scope.attempts_max > 0 && attempt >= self.scope.attempts_max {
            Next::Park(ParkCause::Exhausted)
        } else {
            Next::Retry(BACKOFF)
        }
    }

    /// The operation that an operator decided on, with the version that was seen then.
    pub(crate) fn operation(&self, pending: &Pending) -> Input {
        let version = match (pending.saw_gate, pending.fresh) {
            (false, _) => 0,
            (true, _) if self.breaks(Mutant::VersionReused) => VERSION + u64::from(pending.version),
            (true, true) => VERSION,
            (true, false) => VERSION_PAST,
        };
        let action = match pending.op {
            Op::Skip => Action::Skip,
            Op::Park => Action::Park,
            Op::Retry => Action::Retry,
            Op::Discard | Op::DiscardBeyond => Action::DiscardThrough(self.index(pending.through)),
            Op::Edit => Action::Edit { payload: None, headers: Headers::default() },
            Op::Pause => Action::Pause,
            Op::Resume => Action::Resume,
            Op::Void => Action::VoidConflict { index: self.index(pending.through), digest: None },
            Op::Mirror => Action::Mirror,
            Op::Note => Action::Note,
        };
        let index = (pending.head > 0).then(|| self.index(pending.head));
        let (by, why) = (Arc::clone(&self.why), Arc::clone(&self.why));
        Input::Operate(Operation { action, index, version, by, why, request_id: None })
    }

    pub(crate) fn owned(generation: u8) -> Guard {
        Guard::Owned { generation: generation.into() }
    }

    pub(crate) fn shared(&self, expired: bool) -> Guard {
        if self.breaks(Mutant::NoDeadlineInStore) {
            return Guard::Shared { deadline: None };
        }
        Guard::Shared { deadline: Some(if expired { NOW } else { NOW.plus(MARGIN) }) }
    }

    /// The index of a position: the first is the lowest there is, the last the highest.
    pub(crate) fn index(&self, position: u8) -> Index {
        index_at(position, self.scope.events)
    }

    pub(crate) fn position(&self, index: Index) -> Result<u8, Broken> {
        let found = (1..=self.scope.events).find(|position| self.index(*position) == index);
        found.ok_or_else(|| Broken::books(format!("the gate names index {index}, which no event has")))
    }

    /// Everything that can happen in a state.
    pub(crate) fn moves(&self, s: &State, moves: &mut Moves) {
        moves.list.clear();
        for process in 0..self.scope.processes {
            if self.scope.shared {
                self.shared_main(s, process, moves);
            } else {
                self.owned_main(s, process, moves);
            }
        }
        self.stream_moves(s, moves);
        for relay in 0..self.scope.relays {
            self.relay_moves(s, relay, moves);
        }
        for runner in 0..self.scope.runners {
            self.runner_moves(s, runner, moves);
        }
        self.topic_moves(s, moves);
        self.operator_moves(s, moves);
        self.impostor_moves(s, moves);
        self.crash_moves(s, moves);
        for found in &mut moves.list {
            if let Ok(to) = &mut found.to {
                match self.nothing_lost(to) {
                    Ok(()) => self.canonical(to),
                    Err(broken) => found.to = Err(broken),
                }
            }
        }
    }
}

fn index_at(position: u8, events: u8) -> Index {
    if position >= events && position > 1 {
        Index::MAX
    } else {
        Index::new(u128::from(position.saturating_sub(1)))
    }
}
