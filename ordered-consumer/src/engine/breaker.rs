//! What a run's end means to the stream's breaker, told in log lines and counted.

use super::{
    core::Core,
    fingerprint::Fingerprint,
    life::NotDone,
    outage::{Changed, Failed, Permit},
    stream_state::StreamState,
};
use crate::{Event, FailureKind, HandlerError, StreamName};

/// Tells people what has changed.
pub(crate) fn told<H>(core: &Core<H>, stream: &StreamState, changed: Changed) {
    tell(core, &stream.name, changed);
}

pub(crate) fn tell<H>(core: &Core<H>, stream: &StreamName, changed: Changed) {
    match changed {
        Changed::Nothing => {}
        Changed::Opened => {
            core.stream(stream).tally.outages.add(1);
            tracing::warn!(consumer = %core.name, %stream, "what handlers need is away, or many entities fail: the stream pauses and probes");
        }
        Changed::HalfOpened => {
            tracing::info!(consumer = %core.name, %stream, "a probe succeeded: the stream goes on, a few events at a time");
        }
        Changed::Closed => {
            tracing::info!(consumer = %core.name, %stream, "what handlers need is available again");
        }
    }
}

/// Whether a failure on the main stream counts, or the event is run again when its turn to probe comes; an error for
/// whoever does not wait for that.
pub(crate) fn failed<H>(
    core: &Core<H>,
    stream: &StreamState,
    (entity, event): (Fingerprint, &Event),
    kind: FailureKind,
    error: &HandlerError,
    permit: &Permit<'_>,
) -> Result<Failed, NotDone> {
    let outage = &stream.known.outage;
    let (failed, changed) = match kind {
        FailureKind::Unavailable if stream.patience.is_some() => {
            return Err(NotDone::Unavailable(crate::display_safe(&error.text()).to_string()));
        }
        FailureKind::Unavailable => (Failed::Spared, outage.unavailable(permit)),
        // Whoever says so has had an answer.
        FailureKind::Permanent | FailureKind::Ignore => (Failed::Counts, outage.succeeded(permit)),
        FailureKind::Retry | FailureKind::RetryAfter(_) => outage.failed(entity, false, permit),
    };
    if kind != FailureKind::Unavailable {
        stream.known.tally.failed.add(1);
    }
    if changed == Changed::Opened {
        let text = error.text();
        tracing::warn!(consumer = %core.name, %event, error = %crate::display_safe(&text), "this failure opens the breaker");
    }
    told(core, stream, changed);
    if failed == Failed::Spared && stream.patience.is_some() {
        return Err(NotDone::Paused(outage.wait()));
    }
    Ok(failed)
}
