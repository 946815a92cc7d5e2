//! The stream itself: it changes hands, its tombstones go, and store calls arrive late.

use ordered_consumer::gate::{ClaimToken, Input, Settle, may_drop_tombstone, settle};

use crate::{
    model::{Model, NOW},
    moves::{Broken, Moves},
    mutation::Mutant,
    owned::number,
    state::{DEAD, LateCall, Main, MainPhase, Ownership, State, through},
};

impl Model {
    pub(crate) fn stream_moves(&self, s: &State, moves: &mut Moves) {
        self.late_call(s, moves);
        if !self.scope.shared && self.scope.processes == 2 && s.left.takeovers > 0 {
            self.change_hands(s, moves);
        }
        self.drop_tombstone(s, moves);
    }

    fn late_call(&self, s: &State, moves: &mut Moves) {
        let Some(late) = s.late else { return };
        let mut t = *s;
        t.late = None;
        let token = ClaimToken::new(late.right.into());
        let to = match late.call {
            LateCall::Fail if self.scope.shared => {
                let expired = s.in_flight[usize::from(late.event)] != DEAD;
                self.apply(&mut t, self.shared(expired), &self.fail(late.event))
            }
            LateCall::Fail => self.apply(&mut t, Self::owned(late.right), &self.fail(late.event)),
            LateCall::Resolve => {
                let next = (late.next_token > 0).then(|| ClaimToken::new(late.next_token.into()));
                let input = Input::Resolve { token, in_process: false, next, ignored: None };
                self.reported(&mut t, late.event, &input)
            }
            LateCall::FailAgain => {
                let (failure, next) = (self.failure.clone(), self.next(late.attempt));
                self.reported(&mut t, late.event, &Input::FailAgain { token, failure, next })
            }
        };
        let what = match late.call {
            LateCall::Fail => "a failure arrives that has outlived its caller",
            LateCall::Resolve => "a success arrives that has outlived its caller",
            LateCall::FailAgain => "a retry's failure arrives that has outlived its caller",
        };
        moves.go(what, [0, late.event, late.right], to.map(|_| t));
    }

    fn change_hands(&self, s: &State, moves: &mut Moves) {
        let old = usize::from(s.owner);
        let new = 1 - old;
        if s.mains[new].ownership != Ownership::None {
            return;
        }
        let mut t = *s;
        t.left.takeovers -= 1;
        t.owner = number(new);
        t.mains[new] = Main { ownership: Ownership::Assigned, ..Main::default() };
        moves.fault("the broker gives the stream to", [number(new), 0, 0], Ok(t));
        let main = s.mains[old];
        let quiet = main.phase == MainPhase::Idle && main.batched == 0 && main.refresh == 0;
        if main.ownership == Ownership::Active && quiet {
            let report = Settle { generation: main.generation.into(), settled: None, let_go: true };
            if let Ok(settled) = settle(Some(&self.record(s)), &report) {
                t.clean = settled.clean;
                t.mains[old] = Main::default();
                moves.fault("main lets go, and the broker gives the stream to", [number(new), 0, 0], Ok(t));
            }
        }
    }

    /// On an owned stream once the settled index has passed it; on a shared one, when nothing can come back.
    fn drop_tombstone(&self, s: &State, moves: &mut Moves) {
        let Some(small) = s.gate else { return };
        let gate = self.expand(s, &small);
        let early = self.breaks(Mutant::TombstoneDroppedEarly);
        let may = if self.scope.shared {
            let past = through(small.resolved);
            let old = early || s.deleted & past == past;
            let kept_since = if old { gate.since.plus(std::time::Duration::from_secs(1)) } else { NOW };
            may_drop_tombstone(&gate, None, Some(kept_since))
        } else {
            let report =
                Settle { generation: s.generation.into(), settled: self.record(s).settled, let_go: false };
            let settled = settle(Some(&self.record(s)), &report).ok().and_then(|record| record.settled);
            let settled = if early { Some(self.index(self.scope.events)) } else { settled };
            may_drop_tombstone(&gate, settled, None)
        };
        if !may {
            return;
        }
        let mut t = *s;
        t.gate = None;
        let to: Result<(), Broken> = self.note_versions(&mut t, s.gate, gate.version, None);
        moves.idle("the tombstone goes", [0, small.resolved, 0], to.map(|()| t));
    }
}
