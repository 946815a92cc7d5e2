//! Events of the main stream: run, hold, or done with; and what follows their handler's failure.

use super::{
    Arrival, Audit, Failure, Gate, Logged, LoggedAt, Moment, Next, ParkCause, Reply, Rows, Step, Verdict,
};
use crate::{Event, Index};
use std::sync::Arc;

/// Decides events of one entity in order. Once one is told to run, or must wait, the later ones are left undecided:
/// what they may do depends on how that one ends.
pub(super) fn arrive(gate: Option<Gate>, rows: &Rows, events: &[Arrival], moment: &Moment<'_>) -> Step {
    let mut step = Step::unchanged(gate, Reply::Noted);
    let mut verdicts = Vec::with_capacity(events.len());
    for (position, arrival) in events.iter().enumerate() {
        if verdicts.last().is_some_and(|v| matches!(v, Verdict::Run | Verdict::Full | Verdict::Undecided)) {
            verdicts.push(Verdict::Undecided);
            continue;
        }
        let in_log = rows.logged.get(position).copied().flatten();
        let logged = known_at(in_log, &step, events, &arrival.event);
        let verdict = decide(&mut step.gate, logged, arrival, moment);
        match verdict {
            Verdict::Held | Verdict::Suspect => step.insert.push(position),
            Verdict::Conflict => step.insert_conflicts.push(position),
            Verdict::Run | Verdict::Duplicate | Verdict::Full | Verdict::Undecided => {}
        }
        verdicts.push(verdict);
    }
    step.reply = Reply::Arrived(verdicts);
    step
}

/// What is logged at the event's index, by the log or by this very batch: the event itself rather than another.
fn known_at(in_log: Option<LoggedAt>, step: &Step, events: &[Arrival], event: &Event) -> Option<LoggedAt> {
    let in_batch = step.insert.iter().chain(&step.insert_conflicts).filter_map(|earlier| {
        let earlier = &events.get(*earlier)?.event;
        (earlier.index() == event.index())
            .then(|| LoggedAt { digest: earlier.digest(), conflict_known: false })
    });
    let known: Vec<_> = in_log.into_iter().chain(in_batch).collect();
    let first = known.first()?;
    let digest = event.digest();
    Some(*known.iter().find(|at| at.digest == digest || at.conflict_known).unwrap_or(first))
}

fn decide(
    gate: &mut Option<Gate>,
    logged: Option<LoggedAt>,
    arrival: &Arrival,
    moment: &Moment<'_>,
) -> Verdict {
    let event = &arrival.event;
    if let Some(known) = gate.as_mut() {
        if known.is_past(event.index()) {
            return Verdict::Duplicate;
        }
        if let Some(logged) = logged {
            return conflict(known, logged, event, moment.settings.held_events_max, moment);
        }
        if !known.is_cleared() {
            return hold(known, event, moment);
        }
    }
    if !arrival.suspect {
        return Verdict::Run;
    }
    let opened = open(gate.take(), event, moment);
    *gate = Some(Gate { due_at: Some(moment.now), ..opened });
    Verdict::Suspect
}

/// Inserts behind the head; where there is none, because an operator paused a clear entity, the event becomes it.
fn hold(gate: &mut Gate, event: &Event, moment: &Moment<'_>) -> Verdict {
    let bytes = gate.held_bytes.saturating_add(event.size() as u64);
    if gate.held_events >= moment.settings.held_events_max || bytes > moment.settings.held_bytes_max {
        return Verdict::Full;
    }
    if gate.head.is_none() {
        gate.head = Some(event.index());
        gate.released = gate.head;
        gate.version = moment.version;
        // It is the head of a parked entity now, whatever held it: who reads the mirror wants to know of it.
        gate.mirror(moment);
    }
    gate.held_events += 1;
    gate.held_bytes = bytes;
    Verdict::Held
}

fn conflict(gate: &mut Gate, logged: LoggedAt, event: &Event, max: u64, moment: &Moment<'_>) -> Verdict {
    if logged.digest == event.digest() || logged.conflict_known {
        return Verdict::Duplicate;
    }
    if u64::from(gate.conflicts) >= max {
        return Verdict::Full;
    }
    gate.conflicts = gate.conflicts.saturating_add(1);
    gate.park(ParkCause::Conflict, moment);
    gate.version = moment.version;
    Verdict::Conflict
}

/// A gate whose head is this event, neither tried nor due; what was resolved before stays so.
fn open(cleared: Option<Gate>, event: &Event, moment: &Moment<'_>) -> Gate {
    let old = cleared.unwrap_or_default();
    Gate {
        resolved: old.resolved,
        head: Some(event.index()),
        released: Some(event.index()),
        held_events: 1,
        held_bytes: event.size() as u64,
        conflicts: old.conflicts,
        version: moment.version,
        since: moment.now,
        ..Gate::default()
    }
}

/// The handler failed on an event of the main stream: it is logged, whatever the limits say.
pub(super) fn fail(
    gate: Option<Gate>,
    rows: &Rows,
    event: &Event,
    attempts: u32,
    failure: &Failure,
    next: Next,
    moment: &Moment<'_>,
) -> Step {
    let mut gate = match gate {
        Some(gate) if gate.is_past(event.index()) => {
            return Step::unchanged(Some(gate), Reply::Logged(Logged::Known));
        }
        other => other,
    };
    let logged = rows.logged.first().copied().flatten();
    if let (Some(known), Some(logged)) = (gate.as_mut(), logged) {
        return already_logged(known.clone(), logged, event, moment);
    }
    match gate {
        Some(mut known) if known.head.is_some() => {
            known.held_events = known.held_events.saturating_add(1);
            known.held_bytes = known.held_bytes.saturating_add(event.size() as u64);
            inserting(known, Logged::Held)
        }
        Some(paused) if paused.parked.is_some() => {
            let cause = paused.parked.unwrap_or(ParkCause::Operator);
            let mut gate = open(Some(paused), event, moment);
            gate.attempts = attempts;
            gate.record(failure.on(attempts, moment.now));
            gate.park(cause, moment);
            inserting(gate, Logged::Parked(cause))
        }
        clear => {
            let mut gate = open(clear, event, moment);
            gate.attempts = attempts;
            gate.record(failure.on(attempts, moment.now));
            let logged = follow(&mut gate, next, moment);
            inserting(gate, logged)
        }
    }
}

fn already_logged(mut gate: Gate, logged: LoggedAt, event: &Event, moment: &Moment<'_>) -> Step {
    // A failure is never limited: the event is done with once it is answered.
    if conflict(&mut gate, logged, event, u64::MAX, moment) != Verdict::Conflict {
        return Step::unchanged(Some(gate), Reply::Logged(Logged::Known));
    }
    let mut step = Step::write(gate, Reply::Logged(Logged::Conflict));
    step.insert_conflicts.push(0);
    step
}

fn inserting(gate: Gate, logged: Logged) -> Step {
    let mut step = Step::write(gate, Reply::Logged(logged));
    step.insert.push(0);
    step
}

/// What the policy wants after a failure of the head.
pub(super) fn follow(gate: &mut Gate, next: Next, moment: &Moment<'_>) -> Logged {
    match (gate.parked, next) {
        (Some(cause), _) | (None, Next::Park(cause)) => {
            gate.park(cause, moment);
            Logged::Parked(cause)
        }
        (None, Next::Retry(after)) => {
            let due_at = moment.now.plus(after);
            gate.due_at = Some(due_at);
            Logged::Retrying { due_at }
        }
    }
}

/// The handler asked for the event to be ignored: nothing but the audit learns of it.
pub(super) fn ignore(gate: Option<Gate>, index: Index, failure: &Failure) -> Step {
    let version = gate.as_ref().map_or(0, |gate| gate.version);
    let mut step = Step::unchanged(gate, Reply::Noted);
    step.audit = Some(ignored(index, failure, version));
    step
}

pub(super) fn ignored(index: Index, failure: &Failure, version: u64) -> Audit {
    Audit {
        action: "ignore",
        index: Some(index),
        by: "handler".into(),
        why: Arc::clone(&failure.text),
        request_id: None,
        outcome: Ok(version),
        before: None,
        after: None,
    }
}
