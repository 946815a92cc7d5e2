//! Rules broken on purpose: each is a way in which this protocol, or one like it, has been got wrong.

use ordered_consumer::gate::{
    self, Action, Gate, Guard, Input, Moment, Operation, Reply, Rows, Step, StreamRecord, Verdict,
};

use crate::model::Model;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mutant {
    // Rules of the gate.
    AttemptNotCounted,
    BatchDoesNotRedecide,
    ClaimIgnoresOtherClaim,
    ClaimIgnoresPark,
    ClaimOutOfTurn,
    DiscardPassesLastRow,
    DuplicatesNotRecognised,
    FailureUnparks,
    FenceIgnored,
    HoldNotWritten,
    LostRunNeverParks,
    LostRunNotDueAgain,
    LostRunNotMirrored,
    HoldOfPausedNotMirrored,
    MirroredByTaking,
    MirroredWhateverItIs,
    NextNotDue,
    NextNotMirrored,
    NoteChangesVersion,
    OperatorActsOnStale,
    OperatorDoesNotWaitForRun,
    ParkDoesNotStick,
    PauseForgetsResolved,
    ReleasedWindowIgnored,
    ResumeForgetsResolved,
    ResultWithoutToken,
    TakeUnparks,
    VersionChangesWithHold,
    VersionKeptByFailure,
    VersionReused,
    VoidNotCounted,
    VoidUnparks,
    // Rules of the processes.
    CacheWithoutTombstones,
    FenceNotCompareAndSet,
    FenceUnlocked,
    MarkedOnlyWhenHeld,
    NoDeadlineInStore,
    NoReceiptCheck,
    NoSuspects,
    PayloadOfTheCopy,
    RefreshReplaces,
    RefusedOwnerGivesUp,
    SlotFreedEarly,
    SuspicionEndsAtFirstCommit,
    TombstoneDroppedEarly,
    TooFewSuspects,
    UnorderedDeletes,
    WaitingEventKeepsTurn,
    ZombiesCount,
}

/// The rules that are broken.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Mutants(u64);

impl Mutants {
    pub(crate) fn of(mutants: &[Mutant]) -> Self {
        Self(mutants.iter().fold(0, |set, mutant| set | 1 << (*mutant as u64)))
    }

    pub(crate) fn has(self, mutant: Mutant) -> bool {
        self.0 & 1 << (mutant as u64) != 0
    }
}

impl Model {
    /// The protocol's step, unless a mutant changes what goes in or comes out.
    pub(crate) fn step(
        &self,
        gate: Option<Gate>,
        rows: &Rows,
        stream: Option<&StreamRecord>,
        guard: Guard,
        input: &Input,
        moment: &Moment<'_>,
    ) -> Step {
        if self.mutants == Mutants::default() {
            return gate::step(gate, rows, stream, &guard, input, moment);
        }
        let (gate_in, input_in) = self.change_input(gate.clone(), input);
        let guard = if self.breaks(Mutant::FenceIgnored) { Guard::Unguarded } else { guard };
        let relaxed = gate::Settings { attempts_max: u32::MAX, ..moment.settings.clone() };
        let settings = if self.breaks(Mutant::LostRunNeverParks) { &relaxed } else { moment.settings };
        let moment = Moment { settings, ..*moment };
        let rows = &self.change_rows(rows, input);
        let mut step = gate::step(gate_in, rows, stream, &guard, &input_in, &moment);
        if matches!(step.reply, Reply::ClaimRefused(_) | Reply::OperatorRefused(_)) {
            // What a mutant hid from a request that was refused all the same is still there.
            step.gate = gate;
            return step;
        }
        self.change_output(gate.as_ref(), input, &moment, &mut step);
        step
    }

    fn change_input(&self, mut gate: Option<Gate>, input: &Input) -> (Option<Gate>, Input) {
        let mut input = input.clone();
        let Some(known) = gate.as_mut() else { return (gate, input) };
        match &mut input {
            Input::Claim { index, .. } => {
                if self.breaks(Mutant::ClaimIgnoresOtherClaim) {
                    known.claim = None;
                }
                if self.breaks(Mutant::ClaimIgnoresPark) {
                    known.parked = None;
                }
                if self.breaks(Mutant::ClaimOutOfTurn) && known.head.is_some_and(|head| head < *index) {
                    known.head = Some(*index);
                    known.attempts = 0;
                }
            }
            Input::Resolve { token, .. } | Input::FailAgain { token, .. } | Input::GiveBack { token, .. } => {
                if self.breaks(Mutant::ResultWithoutToken) && known.head.is_some() {
                    known.claim = Some(*token);
                }
            }
            Input::Operate(operation) => self.change_operation(known, operation),
            Input::Arrive { .. } | Input::Fail { .. } => {
                if self.breaks(Mutant::DuplicatesNotRecognised) {
                    known.resolved = None;
                }
            }
            Input::Take => {
                if self.breaks(Mutant::TakeUnparks) {
                    known.parked = None;
                }
            }
            Input::Mirrored { version, .. } => {
                if self.breaks(Mutant::MirroredWhateverItIs) {
                    *version = known.version;
                }
            }
            Input::Ignore { .. } | Input::Renew { .. } => {}
        }
        (gate, input)
    }

    fn change_rows(&self, rows: &Rows, input: &Input) -> Rows {
        let mut rows = rows.clone();
        if let Input::Operate(Operation { action: Action::DiscardThrough(index), .. }) = input
            && self.breaks(Mutant::DiscardPassesLastRow)
        {
            rows.passed_last = Some(*index);
        }
        rows
    }

    fn change_operation(&self, gate: &mut Gate, operation: &mut Operation) {
        if self.breaks(Mutant::OperatorActsOnStale) {
            operation.version = gate.version;
            operation.index = gate.head;
        }
        if self.breaks(Mutant::VersionReused) {
            operation.index = gate.head;
        }
        let ends_run = !matches!(operation.action, Action::Park | Action::Pause | Action::Resume);
        if self.breaks(Mutant::OperatorDoesNotWaitForRun) && ends_run {
            gate.claim = None;
        }
        let pauses = matches!(operation.action, Action::Park | Action::Pause | Action::Resume);
        if self.breaks(Mutant::PauseForgetsResolved) && pauses {
            gate.resolved = None;
        }
    }

    fn change_output(&self, before: Option<&Gate>, input: &Input, moment: &Moment<'_>, step: &mut Step) {
        let clear = before.is_none_or(Gate::is_cleared);
        if let Reply::Arrived(verdicts) = &mut step.reply {
            if self.breaks(Mutant::BatchDoesNotRedecide) && clear {
                let undecided = verdicts.iter_mut().filter(|verdict| **verdict == Verdict::Undecided);
                undecided.for_each(|verdict| *verdict = Verdict::Run);
            }
            if self.breaks(Mutant::HoldNotWritten) {
                step.insert.clear();
                step.gate = before.cloned();
            }
        }
        let Some(gate) = step.gate.as_mut() else { return };
        let reports = matches!(input, Input::Resolve { .. } | Input::FailAgain { .. });
        if self.breaks(Mutant::ParkDoesNotStick) && reports && gate.parked.take().is_some() {
            gate.due_at = gate.head.is_some().then_some(moment.now);
        }
        if self.breaks(Mutant::ClaimOutOfTurn) && matches!(input, Input::Claim { .. }) {
            gate.head = before.and_then(|gate| gate.head);
        }
        if self.breaks(Mutant::AttemptNotCounted) && matches!(input, Input::Claim { .. }) {
            gate.attempts = before.map_or(0, |gate| gate.attempts);
        }
        if self.breaks(Mutant::FailureUnparks) && matches!(input, Input::Fail { .. }) {
            gate.parked = None;
            gate.due_at = gate.due_at.or(Some(moment.now));
        }
        if let Input::Operate(Operation { action: Action::Resume, .. }) = input
            && self.breaks(Mutant::ResumeForgetsResolved)
        {
            gate.resolved = None;
        }
        if self.breaks(Mutant::VersionChangesWithHold) && !step.insert.is_empty() {
            gate.version = moment.version;
        }
        if self.breaks(Mutant::VersionKeptByFailure) && matches!(input, Input::FailAgain { .. }) {
            gate.version = before.map_or(0, |gate| gate.version);
        }
        if self.breaks(Mutant::NextNotDue) && matches!(input, Input::Resolve { .. }) {
            gate.due_at = None;
        }
        self.change_voids(before, input, moment, gate);
        self.change_mirror(before, input, gate);
        let lost = matches!(input, Input::Take) && before.is_some_and(|gate| gate.claim.is_some());
        if self.breaks(Mutant::LostRunNotDueAgain) && lost {
            gate.due_at = None;
        }
        if self.breaks(Mutant::ReleasedWindowIgnored) && matches!(input, Input::Resolve { .. }) {
            // As if the window were the whole log.
            gate.released = gate.head.and(Some(self.index(self.scope.events)));
        }
    }

    /// A parked head is not due for the mirror, or not for long enough.
    fn change_mirror(&self, before: Option<&Gate>, input: &Input, gate: &mut Gate) {
        let takes = matches!(input, Input::Take);
        let parks = gate.parked.is_some() && before.is_none_or(|gate| gate.parked.is_none());
        let forgets = (self.breaks(Mutant::LostRunNotMirrored) && takes && parks)
            || (self.breaks(Mutant::MirroredByTaking) && takes && gate.parked.is_some())
            || (self.breaks(Mutant::NextNotMirrored) && matches!(input, Input::Resolve { .. }))
            || (self.breaks(Mutant::HoldOfPausedNotMirrored) && matches!(input, Input::Arrive { .. }));
        if forgets && gate.parked.is_some() && gate.claim.is_none() {
            gate.due_at = None;
        }
    }

    /// What an operator does beside the log goes further than that.
    fn change_voids(&self, before: Option<&Gate>, input: &Input, moment: &Moment<'_>, gate: &mut Gate) {
        let Input::Operate(Operation { action, .. }) = input else { return };
        if self.breaks(Mutant::NoteChangesVersion) && matches!(action, Action::Note) {
            gate.version = moment.version;
        }
        if !matches!(action, Action::VoidConflict { .. }) {
            return;
        }
        if self.breaks(Mutant::VoidUnparks) {
            gate.parked = None;
            gate.due_at = gate.due_at.or(gate.head.map(|_| moment.now));
        }
        if self.breaks(Mutant::VoidNotCounted) {
            gate.conflicts = before.map_or(0, |gate| gate.conflicts);
        }
    }
}
