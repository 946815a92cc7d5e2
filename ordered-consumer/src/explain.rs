//! A gate in a sentence.

use std::time::Duration;

use crate::{ConsumerName, GatedEntity, ParkCause, display_safe, gate::State};

/// What failed, when it is tried next, how many wait.
pub(crate) fn explain(consumer: &ConsumerName, entity: &GatedEntity) -> String {
    let gate = &entity.gate;
    let stream = &entity.key.stream;
    let head = gate.head.map(|head| format!("event {head} of stream {stream}")).unwrap_or_default();
    let waits = match gate.held_events.saturating_sub(1) {
        0 => "no later event waits".to_owned(),
        1 => "1 later event waits".to_owned(),
        n => format!("{n} later events wait"),
    };
    let failed = match (gate.attempts, &gate.last_failure) {
        (attempts, Some(failure)) => {
            let text = display_safe(&failure.text);
            format!("failed ({}; the last failure: {text})", times(attempts.max(failure.attempt)))
        }
        (0, None) => "waits for its turn".to_owned(),
        (attempts, None) => format!("was begun ({}) and has not ended", times(attempts)),
    };
    let conflicts = match gate.conflicts {
        0 => String::new(),
        n => format!(" {n} other events came at indexes that are held, and are kept beside them."),
    };
    let now = match gate.state() {
        State::Waiting => {
            let due = gate.due_at.map_or(Duration::ZERO, |due_at| due_at.since(entity.now));
            if due.is_zero() {
                format!("{head} {failed} and is tried again now; {waits} behind it.")
            } else {
                format!("{head} {failed} and is tried again in {}; {waits} behind it.", rounded(due))
            }
        }
        State::Running => format!("{head} {failed} and runs at this moment; {waits} behind it."),
        State::Parked => {
            let why = gate.parked.map_or("", why);
            format!("{head} {failed} and is parked, because {why}; {waits} behind it until an operator acts.")
        }
        State::Paused => format!("an operator paused the entity on stream {stream}; what comes is held."),
        State::Cleared => format!("nothing is held on stream {stream}; events flow."),
    };
    format!("Consumer {consumer}: {now}{conflicts}")
}

fn times(attempts: u32) -> String {
    if attempts == 1 { "1 attempt".to_owned() } else { format!("{attempts} attempts") }
}

fn why(cause: ParkCause) -> &'static str {
    match cause {
        ParkCause::Exhausted => "its attempts or its time are used up",
        ParkCause::Permanent => "its handler said that retrying cannot help",
        ParkCause::LostRun => "the process that ran its last attempt was lost",
        ParkCause::Conflict => "another event came at an index that is held",
        ParkCause::Operator => "an operator parked it",
    }
}

/// Rounded to what people want to know.
fn rounded(span: Duration) -> String {
    let (ms, s) = (span.as_millis(), span.as_secs());
    match s {
        0 => format!("{ms} ms"),
        1..=119 => format!("{s} s"),
        120..=7_199 => format!("{} min", s / 60),
        _ => format!("{} h", s / 3_600),
    }
}
