//! The life of one event of a main stream, once its turn has come. Workers and `process` share it.

use std::time::Duration;

use super::{
    breaker,
    core::Core,
    fingerprint::Fingerprint,
    guarded::{self, Ran},
    outage::{Failed, Permit},
    stream_state::StreamState,
};
use crate::{
    Answer, Delivery, Event, FailureKind, FailureLogError, GateKey, Handler, HandlerError, Lease, Outcome,
    Request, Timestamp,
    event::Context,
    gate::{Arrival, FenceRefusal, Guard, Input, Logged, ParkCause, Reply, Verdict},
    telemetry::{Running, since},
};

/// Why an event is not done with: the broker must not be told that it is.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// The stream has been taken over by somebody else, or is gone.
    Fenced,
    /// The broker may have given the event to somebody else.
    LeaseOver,
    /// The failure log refused the write for good, or was away for longer than the caller waits.
    Log(FailureLogError),
    /// What the handler needs is away, and the caller does not wait for it.
    Unavailable(String),
    /// The stream's breaker is not closed, and the caller, who does not wait, should come again after so long.
    Paused(Duration),
    /// The failure is put down to an outage: the event runs again, as this attempt, when its turn to probe comes.
    Spared {
        /// The attempt that does not count.
        attempt: u32,
    },
    /// The assignment is being let go of, and the event was only waiting.
    Leaving,
}

impl From<FenceRefusal> for NotDone {
    fn from(refusal: FenceRefusal) -> Self {
        match refusal {
            FenceRefusal::StaleGeneration { .. } => Self::Fenced,
            FenceRefusal::DeadlinePassed => Self::LeaseOver,
        }
    }
}

/// Writes for an event of this stream, for as long as its caller waits; what was handed over is written anyway.
async fn ask<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    request: Request,
) -> Result<(Answer, Timestamp), NotDone> {
    let asked = core.main.ask(request);
    let answered = match stream.patience {
        None => asked.await,
        Some(patience) => tokio::time::timeout(patience, asked).await.unwrap_or_else(|_| {
            let source = format!("no answer within {patience:?}").into();
            Err(FailureLogError::OutcomeUnknown { doing: "writing for a call to `process`", source })
        }),
    };
    answered.map_err(NotDone::Log)
}

pub(crate) fn key_of(event: &Event) -> GateKey {
    GateKey { stream: event.stream().clone(), entity: event.entity().clone() }
}

/// Asks the failure log what becomes of events of one entity, all under one lease; holds them where they must be held.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it is does not belong to the question")]
pub(crate) async fn decide<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    entity: Fingerprint,
    arrivals: Vec<Arrival>,
    lease: Option<&Lease>,
) -> Result<Vec<Verdict>, NotDone> {
    let Some(first) = arrivals.first() else { return Ok(Vec::new()) };
    if stream.is_owned() && arrivals.iter().any(|arrival| arrival.suspect) {
        // A suspect opens a gate as a failure does, and the first event that is none must find it.
        stream.cache.insert(entity);
    }
    let request = Request {
        key: key_of(&first.event),
        guard: stream.guard(lease),
        input: Input::Arrive { events: arrivals },
    };
    let (answer, now) = ask(core, stream, request).await?;
    stream.set_clock(now);
    match answer.reply {
        Reply::Arrived(verdicts) => {
            if verdicts.iter().any(|v| matches!(v, Verdict::Suspect)) {
                core.due.hint(Duration::ZERO);
            }
            Ok(verdicts)
        }
        Reply::Fenced(refusal) => {
            stream.known.tally.fenced.add(1);
            Err(refusal.into())
        }
        other => Err(NotDone::Log(unexpected(&other))),
    }
}

/// What a verdict means to the one who delivered the event; none where the event is not done with.
pub(crate) fn outcome_of(verdict: Verdict) -> Option<Outcome> {
    match verdict {
        Verdict::Duplicate => Some(Outcome::Duplicate),
        Verdict::Held => Some(Outcome::Held),
        Verdict::Suspect => Some(Outcome::Suspect),
        Verdict::Conflict => Some(Outcome::Parked(ParkCause::Conflict)),
        Verdict::Run | Verdict::Full | Verdict::Undecided => None,
    }
}

/// Runs the handler on an event whose entity is clear, attempts in place too, and files its failure. When this is done,
/// the outcome is durable.
pub(crate) async fn handle<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    entity: Fingerprint,
    event: &Event,
    lease: Option<&Lease>,
) -> Result<Outcome, NotDone> {
    let outage = &stream.known.outage;
    let mut attempt = event.context().attempt.max(1);
    loop {
        let permit = if outage.is_closed() { Permit::FREE } else { Box::pin(admitted(stream)).await? };
        if stream.is_gone() {
            return Err(NotDone::Fenced);
        }
        if lease.is_some_and(|lease| lease.remaining().is_zero()) {
            return Err(NotDone::LeaseOver);
        }
        let context = event.context();
        let context = Context { attempt, redelivered: context.redelivered || attempt > 1, ..context };
        let run = event.clone().with_context(context);
        let span = core.telemetry.span(&Running { event: &run, from_log: false });
        let began = core.telemetry.begin();
        let error = match guarded::run(&core.handler, run, core.timeouts.handler, lease, &span).await {
            Ran::Handled => {
                if let Some(began) = began {
                    stream.known.tally.process.record(since(began));
                }
                if !outage.is_quiet() {
                    breaker::told(core, stream, outage.succeeded(&permit));
                }
                return Ok(Outcome::Handled);
            }
            Ran::Dropped => return Err(NotDone::LeaseOver),
            Ran::Failed(error) => error,
        };
        core.telemetry.run_failed(&stream.name, began, &error);
        let kind = core.policy.kind_of(&error);
        let spared = breaker::failed(core, stream, (entity, event), kind, &error, &permit)?;
        drop(permit);
        if spared == Failed::Spared {
            return Err(NotDone::Spared { attempt });
        }
        match kind {
            // What a failure needs is kept out of the quiet path's future, which so stays small enough to be
            // allocated cheaply.
            FailureKind::Ignore => return Box::pin(ignore(core, stream, event, &error, lease)).await,
            FailureKind::Retry if core.policy.retries_in_place(attempt, kind) => attempt += 1,
            FailureKind::Retry
            | FailureKind::RetryAfter(_)
            | FailureKind::Permanent
            | FailureKind::Unavailable => {
                if stream.is_owned() {
                    // Before the failure is written, so that nothing overtakes meanwhile.
                    stream.cache.insert(entity);
                }
                return Box::pin(file(core, stream, event, (attempt, kind), &error, lease)).await;
            }
        }
    }
}

/// Waits until the stream's breaker lets a run in; whoever does not wait is told how long it would take.
async fn admitted(stream: &StreamState) -> Result<Permit<'_>, NotDone> {
    let outage = &stream.known.outage;
    if stream.patience.is_some() {
        return outage.try_admit().map_err(NotDone::Paused);
    }
    tokio::select! {
        biased;
        () = stream.left() => Err(NotDone::Leaving),
        permit = outage.admit() => Ok(permit),
    }
}

async fn ignore<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    event: &Event,
    error: &HandlerError,
    lease: Option<&Lease>,
) -> Result<Outcome, NotDone> {
    let input = Input::Ignore { index: event.index(), failure: error.to_failure() };
    let request = Request { key: key_of(event), guard: stream.guard(lease), input };
    let (answer, _) = ask(core, stream, request).await?;
    if let Reply::Fenced(refusal) = answer.reply { Err(refusal.into()) } else { Ok(Outcome::Ignored) }
}

/// Writes the failure into the log. Its entity is in the cache by now, so that nothing overtakes meanwhile.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it is does not belong to the question")]
async fn file<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    event: &Event,
    (attempts, kind): (u32, FailureKind),
    error: &HandlerError,
    lease: Option<&Lease>,
) -> Result<Outcome, NotDone> {
    let failure = error.to_failure();
    let next = core.policy.next(event, attempts, Duration::ZERO, kind);
    let text = crate::display_safe(&failure.text);
    tracing::warn!(consumer = %core.name, %event, attempts, ?next, error = %text, "the handler failed; later events of the entity are held");
    let input = Input::Fail { event: event.clone(), attempts, failure, next };
    let request = Request { key: key_of(event), guard: stream.guard(lease), input };
    let (answer, now) = ask(core, stream, request).await?;
    match answer.reply {
        Reply::Logged(Logged::Retrying { due_at }) => {
            core.due.hint(due_at.since(now));
            Ok(Outcome::RetryScheduled { due_at })
        }
        Reply::Logged(Logged::Parked(cause)) => {
            core.hint_mirror();
            Ok(Outcome::Parked(cause))
        }
        Reply::Logged(Logged::Conflict) => {
            core.hint_mirror();
            Ok(Outcome::Parked(ParkCause::Conflict))
        }
        Reply::Logged(Logged::Held) => Ok(Outcome::Held),
        Reply::Logged(Logged::Known) => Ok(Outcome::Duplicate),
        Reply::Fenced(refusal) => {
            stream.known.tally.fenced.add(1);
            Err(refusal.into())
        }
        other => Err(NotDone::Log(unexpected(&other))),
    }
}

pub(crate) fn unexpected(reply: &Reply) -> FailureLogError {
    FailureLogError::Corrupt { what: format!("an answer that does not belong to the question: {reply:?}") }
}

/// The guard of writes that bring their own proof.
pub(crate) const UNGUARDED: Guard = Guard::Unguarded;

/// A delivery on its way through a worker.
pub(crate) struct Dispatched {
    pub(crate) delivery: Delivery,
    /// The assignment.
    pub(crate) slot: u64,
    pub(crate) entity: Fingerprint,
    pub(crate) sequence: u64,
    pub(crate) bytes: usize,
    /// The look-up for what was received with it found a gate.
    pub(crate) gated: bool,
    /// Log it before it runs.
    pub(crate) suspect: bool,
}
