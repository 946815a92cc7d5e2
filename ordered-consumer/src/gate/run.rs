//! Runs under a claim: of the head, once, and counted before it starts.

use std::time::Duration;

use super::{
    ClaimRefusal, ClaimToken, Failure, Gate, Grant, Moment, Next, Reply, Resolved, Rows, Step, arrive,
};
use crate::Index;

/// One write that checks everything, counts the attempt, and stores a fresh token with a deadline.
pub(super) fn claim(
    gate: Option<Gate>,
    index: Index,
    attempts: u32,
    token: ClaimToken,
    moment: &Moment<'_>,
) -> Step {
    let refuse = |gate, why| Step::unchanged(gate, Reply::ClaimRefused(why));
    let Some(mut gate) = gate else { return refuse(None, ClaimRefusal::NotHead) };
    if gate.claim == Some(token) && gate.head == Some(index) {
        // The same claim asked for again, because its first answer was lost.
        let grant = granted(&gate, index);
        return Step::unchanged(Some(gate), Reply::Claimed(grant)).reading(Some(index));
    }
    if gate.head != Some(index) {
        return refuse(Some(gate), ClaimRefusal::NotHead);
    }
    if gate.parked.is_some() {
        return refuse(Some(gate), ClaimRefusal::Parked);
    }
    if gate.claim.is_some() {
        return refuse(Some(gate), ClaimRefusal::Running);
    }
    if gate.attempts != attempts {
        return refuse(Some(gate), ClaimRefusal::OtherAttempt);
    }
    let grant = grant(&mut gate, index, token, moment);
    Step::write(gate, Reply::Claimed(grant)).reading(Some(index))
}

fn grant(gate: &mut Gate, head: Index, token: ClaimToken, moment: &Moment<'_>) -> Grant {
    gate.attempts = gate.attempts.saturating_add(1);
    gate.claim = Some(token);
    gate.due_at = Some(moment.now.plus(moment.settings.claim_timeout));
    gate.takes = 0;
    gate.version = moment.version;
    granted(gate, head)
}

fn granted(gate: &Gate, head: Index) -> Grant {
    Grant {
        index: head,
        attempt: gate.attempts,
        first_failed_at: gate.first_failure.as_ref().map(|failure| failure.at),
        alone: gate.run_was_lost,
        deadline: gate.due_at.unwrap_or_default(),
        since: gate.since,
    }
}

/// The gate whose claim this token is.
fn claimed(gate: Option<Gate>, token: ClaimToken) -> Result<(Gate, Index), Box<Step>> {
    match gate {
        Some(Gate { claim: Some(live), head: Some(head), .. }) if live == token => {
            gate.map(|gate| (gate, head)).ok_or_else(|| Box::new(Step::unchanged(None, Reply::ClaimLost)))
        }
        other => Err(Box::new(Step::unchanged(other, Reply::ClaimLost))),
    }
}

pub(super) fn renew(gate: Option<Gate>, token: ClaimToken, moment: &Moment<'_>) -> Step {
    let (mut gate, _) = match claimed(gate, token) {
        Ok(claimed) => claimed,
        Err(lost) => return *lost,
    };
    let deadline = moment.now.plus(moment.settings.claim_timeout);
    gate.due_at = Some(deadline);
    Step::write(gate, Reply::Renewed { deadline })
}

/// A run succeeded: its event leaves the log, and the next one becomes head.
pub(super) fn resolve(
    gate: Option<Gate>,
    rows: &Rows,
    token: ClaimToken,
    in_process: bool,
    next: Option<ClaimToken>,
    ignored: Option<&Failure>,
    moment: &Moment<'_>,
) -> Step {
    if let (Some(gate), Some(next)) = (&gate, next)
        && gate.claim == Some(next)
        && let Some(head) = gate.head
    {
        // The same result reported again, because its first answer was lost.
        let resolved = Resolved { next: Some(granted(gate, head)), head: Some(head) };
        return Step::unchanged(Some(gate.clone()), Reply::Resolved(resolved)).reading(Some(head));
    }
    let (mut gate, head) = match claimed(gate, token) {
        Ok(claimed) => claimed,
        Err(lost) => return *lost,
    };
    let audit = ignored.map(|failure| arrive::ignored(head, failure, moment.version));
    pass(&mut gate, head, rows, moment);
    if let (Some(new), None) = (gate.head, gate.parked) {
        if gate.released.is_none_or(|released| new > released) {
            gate.released = rows.window_end.or(Some(new));
            gate.due_at = Some(moment.now);
        } else {
            let wait = if in_process { Duration::ZERO } else { moment.settings.redelivery_timeout };
            gate.due_at = Some(moment.now.plus(wait));
        }
    } else {
        // A parked head alone is released: `released` never lies before it.
        gate.released = gate.head;
        gate.mirror(moment);
    }
    let granted = match (gate.head, gate.parked, next) {
        (Some(new), None, Some(token)) => Some(grant(&mut gate, new, token, moment)),
        _ => None,
    };
    let reply = Reply::Resolved(Resolved { next: granted, head: gate.head });
    let mut step = Step::write(gate, reply).reading(granted.map(|grant| grant.index));
    step.delete_through = Some(head);
    step.audit = audit;
    step
}

/// Everything up to `through` is resolved; the next row, if there is one, becomes head. Not due, and not released.
pub(super) fn pass(gate: &mut Gate, through: Index, rows: &Rows, moment: &Moment<'_>) {
    gate.begin_head();
    gate.resolved = gate.resolved.max(Some(through));
    gate.head = rows.next;
    gate.due_at = None;
    gate.held_events = gate.held_events.saturating_sub(rows.passed_events);
    gate.held_bytes = gate.held_bytes.saturating_sub(rows.passed_bytes);
    gate.version = moment.version;
    if gate.head.is_none() {
        gate.released = None;
        gate.since = moment.now;
    }
}

/// A run failed: nothing behind the head goes out, and the head is tried again later, or parked.
pub(super) fn fail_again(
    gate: Option<Gate>,
    token: ClaimToken,
    failure: &Failure,
    next: Next,
    moment: &Moment<'_>,
) -> Step {
    let (mut gate, head) = match claimed(gate, token) {
        Ok(claimed) => claimed,
        Err(lost) => return *lost,
    };
    gate.claim = None;
    gate.run_was_lost = false;
    gate.released = Some(head);
    gate.version = moment.version;
    let attempt = gate.attempts;
    gate.record(failure.on(attempt, moment.now));
    let logged = arrive::follow(&mut gate, next, moment);
    Step::write(gate, Reply::FailedAgain(logged))
}

/// A run was broken off through no fault of the event's: it is as if it had not been claimed.
pub(super) fn give_back(gate: Option<Gate>, token: ClaimToken, after: Duration, moment: &Moment<'_>) -> Step {
    let (mut gate, head) = match claimed(gate, token) {
        Ok(claimed) => claimed,
        Err(lost) => return *lost,
    };
    gate.claim = None;
    gate.attempts = gate.attempts.saturating_sub(1);
    gate.released = Some(head);
    gate.version = moment.version;
    if gate.parked.is_some() {
        gate.mirror(moment);
    } else {
        gate.due_at = Some(moment.now.plus(after));
    }
    Step::write(gate, Reply::GivenBack)
}
