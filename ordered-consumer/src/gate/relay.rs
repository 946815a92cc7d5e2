//! The relay takes a gate that is due.

use std::time::Duration;

use super::{Gate, Moment, ParkCause, Reply, Step};
use crate::{Index, Timestamp};

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
            gate.park(ParkCause::LostRun);
        }
    }
    let (None, Some(head), Some(released)) = (gate.parked, gate.head, gate.released) else {
        gate.due_at = None;
        let parked = gate.parked;
        return Step::write(gate, Reply::NotTaken { parked });
    };
    gate.due_at = Some(next_look(moment.now, moment.settings.redelivery_timeout, gate.takes));
    gate.takes = gate.takes.saturating_add(1);
    let taken = Taken { head, released, attempts: gate.attempts, alone: gate.run_was_lost };
    Step::write(gate, Reply::Taken(taken))
}

fn next_look(now: Timestamp, timeout: Duration, takes: u32) -> Timestamp {
    let doubled = timeout.saturating_mul(2_u32.saturating_pow(takes));
    now.plus(doubled.min(REDELIVERY_TIMEOUT_MAX.max(timeout)))
}
