//! Running heads under claims.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::Stopping;
use crate::{
    Event, FailureKind, FailureLogError, GateKey, Handler, HandlerError, Index, Lease, Request, TakenGate,
    Timestamp,
    engine::{
        breaker,
        core::Core,
        guarded::{self, Ran},
        known_streams::KnownStream,
        life::{UNGUARDED, unexpected},
        outage::{Failed, Permit},
    },
    event::Context,
    gate::{ClaimToken, Grant, Input, Logged, Next, Reply, Resolved},
    telemetry::{Running, since},
};

/// A claim that this process holds.
struct Claimed {
    key: GateKey,
    token: ClaimToken,
    grant: Grant,
    event: Event,
    known: Arc<KnownStream>,
    /// When the claim was asked for, which is before the log's clock was read for it.
    asked: Instant,
    /// What the log's clock said when it was granted.
    at: Timestamp,
}

/// How a run under a claim ended.
enum Outcome {
    Succeeded,
    Failed(HandlerError),
    /// The claim could not be renewed in time: its result would not count.
    ClaimLost,
    /// The process stops: the run was broken off.
    BrokenOff,
}

/// Runs the head of a gate in this process and, while all goes well, what is behind it; then leaves it to its due time.
/// Returns the gate if its stream's breaker does not let it run.
pub(super) async fn drain<H: Handler>(
    core: &Core<H>,
    taken: TakenGate,
    stopping: watch::Receiver<Stopping>,
) -> Option<TakenGate> {
    let (head, attempts) = (taken.taken.head, taken.taken.attempts);
    let known = core.stream(&taken.key.stream);
    // While it is open, nothing is claimed but to probe.
    let Ok(mut permit) = known.outage.try_admit() else { return Some(taken) };
    let mut next = claim(core, taken.key, head, attempts).await;
    let mut left = core.settings.release_window;
    while let Some(claimed) = next {
        left = left.saturating_sub(1);
        let outcome = run(core, &claimed, &mut permit, stopping.clone()).await;
        // Looked at after the run: whoever was told to stop meanwhile claims nothing more.
        let goes_on = left > 0 && *stopping.borrow() == Stopping::No && known.outage.is_closed();
        next = report(core, claimed, outcome, permit, (true, goes_on)).await;
        permit = Permit::FREE;
    }
    None
}

/// Runs what a copy from the retry stream stands for, if it is its turn. Afterwards the copy is done with.
pub(super) async fn run_copy<H: Handler>(
    core: &Core<H>,
    key: GateKey,
    (index, attempts): (Index, u32),
    stopping: watch::Receiver<Stopping>,
) {
    let known = core.stream(&key.stream);
    let Ok(mut permit) = known.outage.try_admit() else { return };
    if let Some(claimed) = claim(core, key, index, attempts).await {
        let outcome = run(core, &claimed, &mut permit, stopping).await;
        report(core, claimed, outcome, permit, (false, false)).await;
    }
}

async fn ask<H: Handler>(
    core: &Core<H>,
    key: &GateKey,
    input: Input,
) -> Option<(Reply, Option<Event>, Timestamp)> {
    let request = Request { key: key.clone(), guard: UNGUARDED, input };
    let error = match core.retries.ask(request).await {
        Ok((answer, now)) => return Some((answer.reply, answer.event, now)),
        Err(error) => crate::error_text(&error),
    };
    tracing::error!(consumer = %core.name, stream = %key.stream, error, "the failure log refuses a retry's write; the event stays in the log and is tried again later");
    None
}

async fn claim<H: Handler>(core: &Core<H>, key: GateKey, index: Index, attempts: u32) -> Option<Claimed> {
    let (token, asked) = (core.token(), Instant::now());
    let (reply, event, at) = ask(core, &key, Input::Claim { index, attempts, token }).await?;
    match (reply, event) {
        (Reply::Claimed(grant), Some(event)) => {
            let known = core.stream(&key.stream);
            Some(Claimed { key, token, grant, event, known, asked, at })
        }
        (Reply::ClaimRefused(why), _) => {
            tracing::debug!(consumer = %core.name, stream = %key.stream, %index, ?why, "a copy is a duplicate, or out of turn");
            None
        }
        (other, _) => {
            refuse(core, &key, &unexpected(&other));
            None
        }
    }
}

fn refuse<H>(core: &Core<H>, key: &GateKey, error: &FailureLogError) {
    tracing::error!(consumer = %core.name, stream = %key.stream, error = crate::error_text(error), "a retry cannot be run");
}

/// Runs the handler while the claim is renewed beside it; drops it before a deadline that could not be moved.
async fn run<H: Handler>(
    core: &Core<H>,
    claimed: &Claimed,
    permit: &mut Permit<'_>,
    mut stopping: watch::Receiver<Stopping>,
) -> Outcome {
    let (grant, tally) = (claimed.grant, &claimed.known.tally);
    // Which attempt it is tells a retry from what is released.
    if grant.attempt > 1 { &tally.retries } else { &tally.released }.add(1);
    if grant.alone {
        // It waits until nothing else runs, and others wait to probe: it must not keep them from it.
        *permit = Permit::FREE;
    }
    let timeout = core.settings.claim_timeout;
    let lease = Lease::new(usable(timeout).saturating_sub(claimed.asked.elapsed()));
    let context =
        Context { attempt: grant.attempt, redelivered: true, first_failed_at: grant.first_failed_at };
    let event = claimed.event.clone().with_context(context);
    let span = core.telemetry.span(&Running { event: &event, from_log: true });
    let mut running = Box::pin(async {
        let limit = core.timeouts.handler;
        if grant.alone {
            // Its last run was lost: if this one takes the process with it, nothing else goes with it.
            let _alone = core.solo.alone().await;
            let began = core.telemetry.begin();
            (guarded::run(&core.handler, event, limit, Some(&lease), &span).await, began)
        } else {
            let _entered = core.solo.enter_when_free(core.solo.retries_place()).await;
            let began = core.telemetry.begin();
            (guarded::run(&core.handler, event, limit, Some(&lease), &span).await, began)
        }
    });
    let renewing = async {
        loop {
            sleep(lease.remaining() / 3).await;
            if lease.remaining().is_zero() {
                return;
            }
            let asked = Instant::now();
            match ask(core, &claimed.key, Input::Renew { token: claimed.token }).await {
                Some((Reply::Renewed { .. }, ..)) => {
                    lease.extend(usable(timeout).saturating_sub(asked.elapsed()));
                }
                Some(_) => return,
                None => sleep(timeout / 10).await,
            }
        }
    };
    let outcome = tokio::select! {
        biased;
        (ran, began) = &mut running => match ran {
            Ran::Handled => {
                if let Some(began) = began {
                    tally.process.record(since(began));
                }
                Outcome::Succeeded
            }
            Ran::Failed(error) => {
                core.telemetry.run_failed(&claimed.key.stream, began, &error);
                Outcome::Failed(error)
            }
            Ran::Dropped => Outcome::ClaimLost,
        },
        () = renewing => Outcome::ClaimLost,
        _ = stopping.wait_for(|stopping| *stopping == Stopping::Now) => Outcome::BrokenOff,
    };
    // A handler may panic when it is dropped, which must not take the relay with it.
    if catch_unwind(AssertUnwindSafe(move || drop(running))).is_err() {
        tracing::warn!(consumer = %core.name, event = %claimed.event, "a handler panicked when it was dropped");
    }
    outcome
}

/// A handler is dropped this long after its claim was asked for: before the claim's deadline, by the margin for clocks.
fn usable(timeout: Duration) -> Duration {
    timeout.saturating_sub(timeout / 10)
}

/// Records how a run ended; the claim on the next event, if one was asked for and granted.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever else it is does not belong to the question")]
async fn report<H: Handler>(
    core: &Core<H>,
    claimed: Claimed,
    outcome: Outcome,
    permit: Permit<'_>,
    (in_process, goes_on): (bool, bool),
) -> Option<Claimed> {
    let Claimed { key, token, grant, event, known, asked: began, at } = claimed;
    let failed_at = at.plus(began.elapsed());
    let asked = Instant::now();
    let next = goes_on.then(|| core.token());
    let input = match outcome {
        Outcome::Succeeded => {
            breaker::tell(core, &key.stream, known.outage.succeeded(&permit));
            Input::Resolve { token, in_process, next, ignored: None }
        }
        Outcome::BrokenOff => Input::GiveBack { token, after: Duration::ZERO },
        Outcome::ClaimLost => {
            known.tally.claims_lost.add(1);
            tracing::warn!(consumer = %core.name, %event, "a retry was dropped, because its claim could not be renewed");
            return None;
        }
        Outcome::Failed(error) => {
            failed(core, (&event, &known), (grant, failed_at), token, (in_process, next), (&error, &permit))
        }
    };
    drop(permit);
    let asked_for_next = matches!(input, Input::Resolve { .. });
    let ignored = matches!(input, Input::Resolve { ignored: Some(_), .. });
    let (reply, next_event, at) = ask(core, &key, input).await?;
    match reply {
        Reply::Resolved(Resolved { next: granted, head }) => {
            if ignored { &known.tally.resolved_ignored } else { &known.tally.resolved }.add(1);
            known.tally.blocked.record(failed_at.since(grant.since));
            tracing::debug!(consumer = %core.name, %event, attempt = grant.attempt, ignored, next = head.map(|head| head.to_string()), "the logged event is resolved");
            if head.is_some() && granted.is_none() && in_process {
                core.due.hint(Duration::ZERO);
            }
            let (token, grant, event) = (next.filter(|_| asked_for_next)?, granted?, next_event?);
            Some(Claimed { key, token, grant, event, known, asked, at })
        }
        Reply::FailedAgain(Logged::Retrying { .. }) | Reply::GivenBack => None,
        Reply::FailedAgain(Logged::Parked(cause)) => {
            known.tally.count_parked(cause);
            core.hint_mirror();
            tracing::error!(consumer = %core.name, %event, cause = cause.as_str(), "the event is parked; later events of its entity are held until an operator acts");
            None
        }
        Reply::ClaimLost => {
            known.tally.claims_lost.add(1);
            tracing::warn!(consumer = %core.name, %event, "a retry's result does not count, because its claim is gone");
            None
        }
        other => {
            refuse(core, &key, &unexpected(&other));
            None
        }
    }
}

/// What a failure under a claim leads to.
fn failed<H: Handler>(
    core: &Core<H>,
    (event, known): (&Event, &KnownStream),
    (grant, failed_at): (Grant, Timestamp),
    token: ClaimToken,
    (in_process, next): (bool, Option<ClaimToken>),
    (error, permit): (&HandlerError, &Permit<'_>),
) -> Input {
    let kind = core.policy.kind_of(error);
    let failure = error.to_failure();
    let age = grant.first_failed_at.map_or(Duration::ZERO, |first| failed_at.since(first));
    let follows = core.policy.next(event, grant.attempt, age, kind);
    match kind {
        FailureKind::Ignore => {
            breaker::tell(core, event.stream(), known.outage.succeeded(permit));
            Input::Resolve { token, in_process, next, ignored: Some(failure) }
        }
        FailureKind::Unavailable => {
            breaker::tell(core, event.stream(), known.outage.unavailable(permit));
            let after = if let Next::Retry(after) = follows { after } else { core.timeouts.poll };
            core.due.hint(after);
            Input::GiveBack { token, after }
        }
        FailureKind::Retry | FailureKind::RetryAfter(_) | FailureKind::Permanent => {
            known.tally.failed.add(1);
            if is_spared(core, (event, known), grant, kind, permit) {
                let after = known.outage.wait();
                core.due.hint(after);
                return Input::GiveBack { token, after };
            }
            let text = crate::display_safe(&failure.text);
            tracing::warn!(consumer = %core.name, %event, attempt = grant.attempt, next = ?follows, error = %text, "a retry failed");
            if let Next::Retry(after) = follows {
                core.due.hint(after);
            }
            Input::FailAgain { token, failure, next: follows }
        }
    }
}

/// Whether a failure is put down to an outage, so that its attempt does not count.
fn is_spared<H: Handler>(
    core: &Core<H>,
    (event, known): (&Event, &KnownStream),
    grant: Grant,
    kind: FailureKind,
    permit: &Permit<'_>,
) -> bool {
    let (failed, changed) = if kind == FailureKind::Permanent {
        (Failed::Counts, known.outage.succeeded(permit))
    } else {
        let entity =
            core.fingerprints.stream(event.stream().as_str()).entity(&core.fingerprints, event.entity());
        known.outage.failed(entity, grant.attempt > 1, permit)
    };
    breaker::tell(core, event.stream(), changed);
    failed == Failed::Spared
}
