//! The relay takes a gate that is due.

use std::time::Duration;

use super::{Audit, Failure, Gate, Moment, ParkCause, Reply, Step};
use crate::{Index, Timestamp};
use std::sync::Arc;

/// However long nothing comes back, the relay looks again after this.
const REDELIVERY_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);

/// What a relay may publish: `head … released`, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Taken {
    /// The first event to publish.
    pub head: Index,
    /// The last one.
    pub released: Index,
    /// Attempts made on the head; its copy carries them, and those behind it carry zero.
    pub attempts: u32,
    /// Whether the head's last run was lost, so that it must run alone.
    pub alone: bool,
}

/// The head of a parked gate that is due for the mirror, which is all that may be done with it: it is neither run nor
/// published to the retry stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ParkedHead {
    /// The event.
    pub index: Index,
    /// The gate's version, which [`Mirrored`](super::Input::Mirrored) must name.
    pub version: u64,
    /// Why the gate is parked.
    pub cause: ParkCause,
    /// Attempts made on the event.
    pub attempts: u32,
    /// The event's first failure, if it has one.
    pub first_failure: Option<Failure>,
    /// The event's last failure, if it has one.
    pub last_failure: Option<Failure>,
}

/// Taking *is* pushing the due time out: no lease and no mark. A second relay finds the gate not due.
pub(super) fn take(gate: Option<Gate>, moment: &Moment<'_>) -> Step {
    let Some(mut gate) = gate else { return Step::unchanged(None, Reply::NotTaken { parked: None }) };
    if gate.due_at.is_none_or(|due_at| due_at > moment.now) {
        let parked = gate.parked;
        return Step::unchanged(Some(gate), Reply::NotTaken { parked });
    }
    if gate.claim.take().is_some() {
        // Due, and claimed: the claim's deadline has passed, so that run was lost.
        gate.run_was_lost = true;
        gate.version = moment.version;
        if gate.parked.is_none() && gate.attempts >= moment.settings.attempts_max {
            gate.park(ParkCause::LostRun, moment);
        }
    }
    let reply = match (gate.parked, gate.head, gate.released) {
        (None, Some(head), Some(released)) => {
            Reply::Taken(Taken { head, released, attempts: gate.attempts, alone: gate.run_was_lost })
        }
        (Some(cause), Some(index), _) if moment.settings.mirror_parked => Reply::TakenParked(ParkedHead {
            index,
            version: gate.version,
            cause,
            attempts: gate.attempts,
            first_failure: gate.first_failure.clone(),
            last_failure: gate.last_failure.clone(),
        }),
        (parked, _, _) => {
            gate.due_at = None;
            return Step::write(gate, Reply::NotTaken { parked });
        }
    };
    gate.due_at = Some(next_look(moment.now, moment.settings.redelivery_timeout, gate.takes));
    gate.takes = gate.takes.saturating_add(1);
    Step::write(gate, reply)
}

/// The mirror has the parked head, or will never take it. It counts only while the gate is what was mirrored: one that
/// was parked again since is due for what it is now.
pub(super) fn mirrored(gate: Option<Gate>, index: Index, version: u64, refused: Option<&Failure>) -> Step {
    let is_it = |gate: &Gate| {
        gate.parked.is_some() && gate.claim.is_none() && gate.head == Some(index) && gate.version == version
    };
    match gate {
        Some(mut gate) if is_it(&gate) && gate.due_at.is_some() => {
            (gate.due_at, gate.takes) = (None, 0);
            let mut step = Step::write(gate, Reply::Mirrored { counts: true });
            step.audit = refused.map(|failure| given_up(index, version, failure));
            step
        }
        other => {
            // Told again, because the first answer was lost: it counted then.
            let counts = other.as_ref().is_some_and(is_it);
            Step::unchanged(other, Reply::Mirrored { counts })
        }
    }
}

/// The version stays: nothing that an operator decides by has changed.
fn given_up(index: Index, version: u64, failure: &Failure) -> Audit {
    Audit {
        action: "not mirrored",
        index: Some(index),
        by: "relay".into(),
        why: Arc::clone(&failure.text),
        request_id: None,
        outcome: Ok(version),
        before: None,
        after: None,
    }
}

fn next_look(now: Timestamp, timeout: Duration, takes: u32) -> Timestamp {
    let doubled = timeout.saturating_mul(2_u32.saturating_pow(takes));
    now.plus(doubled.min(REDELIVERY_TIMEOUT_MAX.max(timeout)))
}
