//! Operators: they look, they decide, and later they act on what they saw.

use ordered_consumer::gate::{Arrival, Guard, Input, OperatorRefusal, Reply, Verdict};

use crate::{
    model::Model,
    moves::{Broken, Moves, Promise},
    state::{Due, Op, Pending, State, has, highest, lowest},
};

impl Model {
    pub(crate) fn operator_moves(&self, s: &State, moves: &mut Moves) {
        match s.pending {
            Some(pending) => self.act(s, pending, moves),
            None if s.left.operations > 0 => {
                let sensible = self.scope.actions.iter().filter(|op| is_sensible(s, **op));
                sensible.for_each(|op| decide(s, *op, moves));
            }
            None => {}
        }
    }

    /// Another event comes at an index that is logged.
    pub(crate) fn impostor_moves(&self, s: &State, moves: &mut Moves) {
        if s.left.impostors == 0 {
            return;
        }
        for position in (1..=self.scope.events).filter(|position| has(s.rows & !s.conflicts, *position)) {
            let mut t = *s;
            t.left.impostors -= 1;
            let event = self.impostors[usize::from(position)].clone();
            let input = Input::Arrive { events: vec![Arrival { event, suspect: false }] };
            let to = match self.apply(&mut t, Guard::Unguarded, &input) {
                Err(broken) => Err(broken),
                Ok(Reply::Arrived(verdicts)) if verdicts == [Verdict::Conflict] => Ok(t),
                Ok(other) => Err(Broken::books(format!("another event is answered {other:?}"))),
            };
            moves.fault("another event comes at a logged index", [0, position, 0], to);
        }
    }

    fn act(&self, s: &State, pending: Pending, moves: &mut Moves) {
        let mut t = *s;
        t.pending = Some(pending);
        let details = [0, pending.head, pending.through];
        let (what, to) = self.acted(t, pending);
        moves.fault(what, details, to);
    }

    fn acted(&self, mut t: State, pending: Pending) -> (&'static str, Result<State, Broken>) {
        let same = if pending.saw_gate { pending.same } else { t.gate.is_none() };
        let before = t;
        let reply = match self.apply(&mut t, Guard::Unguarded, &self.operation(&pending)) {
            Err(broken) => return (name(pending.op), Err(broken)),
            Ok(reply) => reply,
        };
        t.pending = None;
        let Reply::OperatorRefused(refusal) = reply else {
            return (name(pending.op), self.carried_out(t, pending, same, &before, &reply));
        };
        let stale = matches!(refusal, OperatorRefusal::Stale { .. });
        let why = "refused as stale, though head, state and attempts are what was decided on";
        let to = if stale && same { Err(Broken::new(Promise::Operator, why)) } else { Ok(t) };
        ("an operator is refused", to)
    }

    fn carried_out(
        &self,
        mut t: State,
        pending: Pending,
        same: bool,
        before: &State,
        reply: &Reply,
    ) -> Result<State, Broken> {
        let broken = |why: String| Err(Broken::new(Promise::Operator, why));
        if !matches!(reply, Reply::Operated { .. }) {
            return broken(format!("an operator is answered {reply:?}"));
        }
        if !same {
            return broken("the operator acts on what was not seen when it was decided".into());
        }
        let gone = t.skipped & !before.skipped;
        let meant = if pending.op == Op::Skip { pending.head } else { pending.through };
        if gone != 0 && highest(gone) > meant {
            return broken(format!("meant to give up {meant}, gave up {gone:#b}"));
        }
        if matches!(pending.op, Op::Void | Op::Note) {
            return match changed_beside(before, &t) {
                true => broken("what is held, or how it goes on, was changed beside it".into()),
                false => Ok(t),
            };
        }
        if pending.op == Op::Mirror {
            return Ok(t);
        }
        t.operator_parked = matches!(pending.op, Op::Park | Op::Pause);
        let used_up = t.gate.is_some_and(|gate| gate.attempts >= self.scope.attempts_max);
        if pending.op == Op::Resume && self.scope.killer > 0 && used_up {
            // One who resumes what has used up its attempts asks for one more, and gets no more than that.
            t.kills -= 1;
        }
        Ok(t)
    }

    /// What happens in the end, when nothing else can: time passes, and an operator comes.
    pub(crate) fn in_the_end(&self, s: &State) -> Option<(&'static str, Result<State, Broken>)> {
        let gate = s.gate?;
        if gate.due == Due::Redelivery {
            let mut t = *s;
            t.gate.as_mut().into_iter().for_each(|gate| gate.due = Due::Now);
            return Some(("the redelivery timeout is over", self.tidied(t)));
        }
        if gate.parked.is_none() || self.scope.killer > 0 {
            return None;
        }
        let op = if gate.head > 0 { Op::Retry } else { Op::Resume };
        let pending = Pending { fresh: true, same: true, ..seen(s, op) };
        let (_, to) = self.acted(*s, pending);
        // One that had decided before is told, or has its way, later.
        let earlier = s.pending.map(|earlier| Pending { fresh: false, same: false, ..earlier });
        let to = to.and_then(|t| self.tidied(State { pending: earlier, ..t }));
        Some(("in the end an operator lets it go on", to))
    }

    fn tidied(&self, mut t: State) -> Result<State, Broken> {
        self.nothing_lost(&t)?;
        self.canonical(&mut t);
        Ok(t)
    }
}

/// Whether anything but conflicts has changed. A gate that said nothing else may be gone.
fn changed_beside(before: &State, after: &State) -> bool {
    let beside = |s: &State| s.gate.map(|gate| (gate.head, gate.released, gate.due, gate.claim, gate.parked));
    let gone = after.gate.is_none() && before.gate.is_some_and(|gate| gate.head == 0 && gate.resolved == 0);
    before.rows != after.rows || before.skipped != after.skipped || (beside(before) != beside(after) && !gone)
}

fn is_sensible(s: &State, op: Op) -> bool {
    let held = s.rows != 0;
    let parked = s.gate.is_some_and(|gate| gate.parked.is_some());
    match op {
        Op::Skip | Op::Edit | Op::Retry | Op::Discard | Op::DiscardBeyond => held,
        Op::Park => held && !parked,
        Op::Pause => !parked && !held,
        Op::Resume => parked,
        Op::Void => s.conflicts != 0,
        Op::Mirror => parked && held,
        Op::Note => true,
    }
}

fn seen(s: &State, op: Op) -> Pending {
    let head = lowest(s.rows);
    let through = match op {
        Op::Discard => highest(s.rows),
        Op::DiscardBeyond => highest(s.rows) + 1,
        Op::Void => lowest(s.conflicts),
        Op::Skip | Op::Park | Op::Retry | Op::Edit | Op::Pause | Op::Resume | Op::Mirror | Op::Note => head,
    };
    let version = s.gate.map_or(0, |gate| gate.version);
    Pending { op, head, through, saw_gate: s.gate.is_some(), version, fresh: true, same: true }
}

fn decide(s: &State, op: Op, moves: &mut Moves) {
    let mut t = *s;
    t.left.operations -= 1;
    let pending = seen(s, op);
    t.pending = Some(pending);
    let what = match op {
        Op::Skip => "an operator decides to skip the head",
        Op::Park => "an operator decides to park",
        Op::Retry => "an operator decides to retry now",
        Op::Discard | Op::DiscardBeyond => "an operator decides to discard through",
        Op::Edit => "an operator decides to edit the head",
        Op::Pause => "an operator decides to pause",
        Op::Resume => "an operator decides to resume",
        Op::Void => "an operator decides to void a conflict",
        Op::Mirror => "an operator decides to mirror the head",
        Op::Note => "an operator decides to write a note",
    };
    moves.fault(what, [0, pending.head, pending.through], Ok(t));
}

fn name(op: Op) -> &'static str {
    match op {
        Op::Skip => "an operator skips the head",
        Op::Park => "an operator parks",
        Op::Retry => "an operator retries now",
        Op::Discard | Op::DiscardBeyond => "an operator discards",
        Op::Edit => "an operator edits the head",
        Op::Pause => "an operator pauses",
        Op::Resume => "an operator resumes",
        Op::Void => "an operator voids a conflict",
        Op::Mirror => "an operator mirrors the head",
        Op::Note => "an operator writes a note",
    }
}
