//! What operators do to a gate: refused when it is not what they saw, and always written down.

use super::{Action, Audit, Gate, Moment, Operation, OperatorRefusal, ParkCause, Reply, Rows, Step, run};
use crate::{Digest, Index};
use std::sync::Arc;

pub(super) fn operate(gate: Option<Gate>, rows: &Rows, operation: &Operation, moment: &Moment<'_>) -> Step {
    if let Some(earlier) = rows.earlier_outcome {
        let reply = match earlier {
            Ok(version) => Reply::Operated { version },
            Err(refusal) => Reply::OperatorRefused(refusal),
        };
        return Step::unchanged(gate, reply);
    }
    let before = gate.as_ref().map(Gate::summary);
    let mut step = match refusal(gate.as_ref(), rows, operation) {
        Some(refusal) => Step::unchanged(gate, Reply::OperatorRefused(refusal)),
        None => act(gate, rows, operation, moment),
    };
    let index = match &operation.action {
        Action::DiscardThrough(index) | Action::VoidConflict { index, .. } => Some(*index),
        Action::Retry
        | Action::Park
        | Action::Skip
        | Action::Edit { .. }
        | Action::Pause
        | Action::Resume
        | Action::Mirror
        | Action::Note => operation.index,
    };
    let version = step.gate.as_ref().map_or(0, |gate| gate.version);
    let outcome = if let Reply::OperatorRefused(refusal) = step.reply { Err(refusal) } else { Ok(version) };
    step.audit = Some(Audit {
        action: operation.action.as_str(),
        index,
        by: Arc::clone(&operation.by),
        why: Arc::clone(&operation.why),
        request_id: operation.request_id.clone(),
        outcome,
        before,
        after: step.gate.as_ref().map(Gate::summary),
    });
    step
}

fn refusal(gate: Option<&Gate>, rows: &Rows, operation: &Operation) -> Option<OperatorRefusal> {
    let current = gate.map_or(0, |gate| gate.version);
    let head = gate.and_then(|gate| gate.head);
    if current != operation.version || head != operation.index {
        return Some(OperatorRefusal::Stale { current });
    }
    let running = gate.is_some_and(|gate| gate.claim.is_some());
    let parked = gate.is_some_and(|gate| gate.parked.is_some());
    match &operation.action {
        Action::Retry | Action::Skip | Action::Edit { .. } | Action::DiscardThrough(_) if head.is_none() => {
            Some(OperatorRefusal::NothingHeld)
        }
        Action::Retry | Action::Skip | Action::Edit { .. } | Action::DiscardThrough(_) if running => {
            Some(OperatorRefusal::Running)
        }
        Action::DiscardThrough(_) if rows.passed_events == 0 => Some(OperatorRefusal::BelowHead),
        Action::Park | Action::Mirror if head.is_none() => Some(OperatorRefusal::NothingHeld),
        Action::Mirror if running => Some(OperatorRefusal::Running),
        Action::Resume | Action::Mirror if !parked => Some(OperatorRefusal::NotParked),
        Action::VoidConflict { .. } if rows.conflicts_named == 0 => Some(OperatorRefusal::NoSuchConflict),
        Action::Retry
        | Action::Skip
        | Action::Edit { .. }
        | Action::DiscardThrough(_)
        | Action::Park
        | Action::Pause
        | Action::Resume
        | Action::VoidConflict { .. }
        | Action::Mirror
        | Action::Note => None,
    }
}

fn act(gate: Option<Gate>, rows: &Rows, operation: &Operation, moment: &Moment<'_>) -> Step {
    if matches!(operation.action, Action::Note) {
        // Not even the version changes: what is written down about an entity must not be in another operator's way.
        let version = gate.as_ref().map_or(0, |gate| gate.version);
        return Step::unchanged(gate, Reply::Operated { version });
    }
    if let (Action::Mirror, Some(mut gate)) = (&operation.action, gate.clone()) {
        // Nor does it change what another operator has looked at.
        gate.mirror(moment);
        return operated(gate);
    }
    let created = Gate { since: moment.now, ..Gate::default() };
    let mut gate = gate.unwrap_or(created);
    gate.version = moment.version;
    match &operation.action {
        Action::Skip => give_up(gate, operation.index, rows, moment),
        // Never past the last row: an event that has not come yet must not become a duplicate.
        Action::DiscardThrough(_) => give_up(gate, rows.passed_last, rows, moment),
        Action::Retry => again(gate, moment),
        Action::Edit { .. } => {
            let mut step = again(gate, moment);
            step.edit_head = operation.index;
            step
        }
        Action::Park | Action::Pause => {
            gate.park(ParkCause::Operator, moment);
            operated(gate)
        }
        Action::Resume => resume(gate, rows, moment),
        Action::VoidConflict { index, digest } => void(gate, (*index, *digest), rows),
        Action::Mirror | Action::Note => operated(gate),
    }
}

fn operated(gate: Gate) -> Step {
    let version = gate.version;
    Step::write(gate, Reply::Operated { version })
}

/// The head begins anew, at once; nothing behind it goes out before it is resolved.
fn again(mut gate: Gate, moment: &Moment<'_>) -> Step {
    gate.attempts = 0;
    gate.takes = 0;
    gate.parked = None;
    gate.first_failure = None;
    gate.released = gate.head;
    gate.due_at = Some(moment.now);
    operated(gate)
}

/// Events that an operator gives up are resolved; what is behind them flows on.
fn give_up(mut gate: Gate, through: Option<Index>, rows: &Rows, moment: &Moment<'_>) -> Step {
    let Some(through) = through else {
        return Step::unchanged(Some(gate), Reply::OperatorRefused(OperatorRefusal::NothingHeld));
    };
    run::pass(&mut gate, through, rows, moment);
    gate.parked = None;
    if gate.head.is_some() {
        gate.released = rows.window_end.or(gate.head);
        gate.due_at = Some(moment.now);
    }
    let mut step = operated(gate);
    step.delete_through = Some(through);
    step
}

/// Un-parks without counting anew. Without events it is a tombstone again, or, if there never was one, no gate.
fn resume(mut gate: Gate, rows: &Rows, moment: &Moment<'_>) -> Step {
    gate.parked = None;
    let Some(head) = gate.head else {
        if says_nothing(&gate) {
            return Step::unchanged(None, Reply::Operated { version: 0 });
        }
        gate.since = moment.now;
        return operated(gate);
    };
    let untried = gate.attempts == 0;
    gate.released = if untried { rows.window_end.or(Some(head)) } else { Some(head) };
    gate.takes = 0;
    if gate.claim.is_none() {
        gate.due_at = Some(moment.now);
    }
    operated(gate)
}

/// Gives up what is kept beside the log. Whether the logged event is right is another decision: the entity stays
/// parked, even when no conflict is left, and a run under way goes on. The last conflict of a tombstone that knows of
/// nothing resolved takes the tombstone along.
fn void(mut gate: Gate, named: (Index, Option<Digest>), rows: &Rows) -> Step {
    gate.conflicts = gate.conflicts.saturating_sub(rows.conflicts_named);
    let mut step = if gate.is_cleared() && says_nothing(&gate) {
        Step::unchanged(None, Reply::Operated { version: 0 })
    } else {
        operated(gate)
    };
    step.delete_conflicts = Some(named);
    step
}

/// Whether a gate without events has nothing to remember either.
fn says_nothing(gate: &Gate) -> bool {
    gate.resolved.is_none() && gate.conflicts == 0
}
