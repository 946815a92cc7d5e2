//! `process`: for people with a consume loop of their own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};

use crate::{
    Delivery, Event, EventPlace, FailureLogError, Handler, LimitReached, OrderedConsumer, Outcome,
    ProcessError, RunError, Sharing, StreamName, check_event,
    engine::{
        core::Core,
        fingerprint::Fingerprint,
        life::{self, NotDone},
        stream_state::StreamState,
    },
    gate::{Arrival, Verdict},
    telemetry,
};

impl<H: Handler> OrderedConsumer<H> {
    /// Takes one event through the consumer: handles it, holds it behind an earlier one that failed, or logs its
    /// failure. **`Ok` means acknowledge it to your broker, `Err` means do not**; every [`Outcome`] is durable.
    ///
    /// It may be called concurrently: events of one entity are taken one after another in the order of the calls. The
    /// stream is treated as shared, which costs one look-up in the failure log for each call
    /// ([`process_batch`](Self::process_batch): for each batch); whoever owns its stream saves that with
    /// [`take_over`](Self::take_over). Retries run where [`run_retries_until`](Self::run_retries_until) runs.
    ///
    /// Give a [`Delivery`] instead of an event to say until when the broker gives it to nobody else, and say with
    /// [`EventBuilder::redelivered`](crate::EventBuilder::redelivered) that it may have run before: it is then logged
    /// before it runs, so that one that kills its process uses up its attempts.
    ///
    /// Cancel safe: a dropped call has either made its outcome durable or done nothing that is not done again.
    ///
    /// # Errors
    /// [`ProcessError`] names the event by stream and index.
    pub async fn process(&self, event: impl Into<Delivery>) -> Result<Outcome, ProcessError> {
        let delivery = event.into();
        let core = self.start().map_err(|error| unstarted(&delivery.event, error))?;
        let stream = shared(&core, delivery.event.stream());
        process(&core, &stream, &delivery, true).await
    }

    /// As [`process`](Self::process), for what was received at once: one look-up for all of it. Entities run at the
    /// same time, the events of one in their order; once one is not done with, the entity's later ones are not either.
    pub async fn process_batch(&self, events: Vec<Delivery>) -> Vec<Result<Outcome, ProcessError>> {
        let core = match self.start() {
            Ok(core) => core,
            Err(error) => {
                let why = crate::error_text(&error);
                let again = || RunError::Internal { source: why.clone().into() };
                return events.iter().map(|delivery| Err(unstarted(&delivery.event, again()))).collect();
            }
        };
        process_batch(&core, &events).await
    }
}

fn unstarted(event: &Event, error: RunError) -> ProcessError {
    match error {
        RunError::Name(name) => ProcessError::Name(name),
        other @ (RunError::FailureLog { .. }
        | RunError::Source { .. }
        | RunError::TakeOver { .. }
        | RunError::Internal { .. }) => ProcessError::FailureLog {
            event: EventPlace::from(event),
            source: FailureLogError::Unavailable { doing: "starting the consumer", source: other.into() },
        },
    }
}

fn shared<H>(core: &Core<H>, name: &StreamName) -> Arc<StreamState> {
    let mut stream =
        StreamState::new(name.clone(), 0, Sharing::Shared, 0, None, (core.stream(name), &core.fingerprints));
    stream.patience = Some(core.timeouts.failure_log);
    Arc::new(stream)
}

/// One event, under its entity's turn. With `ask`, the failure log is asked first.
pub(crate) async fn process<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    delivery: &Delivery,
    ask: bool,
) -> Result<Outcome, ProcessError> {
    let entity = stream.entity(&core.fingerprints, delivery.event.entity());
    stream.known.tally.consumed.add(1);
    let _turn = core.turns.take(entity).await;
    let processed = process_in_turn(core, stream, entity, delivery, ask).await;
    if let Ok(outcome) = &processed {
        stream.known.tally.count(outcome);
        telemetry::became(&core.name, &delivery.event, outcome);
    }
    processed
}

async fn process_in_turn<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    entity: Fingerprint,
    delivery: &Delivery,
    ask: bool,
) -> Result<Outcome, ProcessError> {
    let event = &delivery.event;
    let place = || EventPlace::from(event);
    check_event(event, core.limits.payload_bytes_max)
        .map_err(|source| ProcessError::BadEvent { event: place(), source })?;
    let lease = delivery.lease.as_ref();
    if lease.is_some() && !stream.knows_clock() {
        learn_clock(core, stream, event).await?;
    }
    // Before the failure log is asked: an event that may have run before would else be logged, and acknowledged.
    if !stream.known.outage.is_closed()
        && let Err(wait) = stream.known.outage.try_admit().map(drop)
    {
        return Err(ProcessError::Paused { event: place(), wait });
    }
    let suspect = !stream.is_owned() && event.context().redelivered || stream.take_suspect();
    if suspect && !stream.known.outage.lets_suspect() {
        return Err(ProcessError::Paused { event: place(), wait: stream.known.outage.wait() });
    }
    if ask || suspect || stream.cache.contains(entity) {
        let arrivals = vec![Arrival { event: event.clone(), suspect }];
        let decided = life::decide(core, stream, entity, arrivals, lease).await;
        let verdict = decided.map_err(|fault| failed(event, fault))?.first().copied();
        if let Some(outcome) = verdict.and_then(life::outcome_of) {
            return Ok(outcome);
        }
        match verdict {
            Some(Verdict::Run) => stream.cache.remove(entity),
            Some(
                Verdict::Full
                | Verdict::Undecided
                | Verdict::Duplicate
                | Verdict::Held
                | Verdict::Suspect
                | Verdict::Conflict,
            )
            | None => {
                stream.known.tally.limited.add(1);
                return Err(ProcessError::Full { event: place(), limit: LimitReached::Entity });
            }
        }
    }
    let _entered = core.solo.enter_when_free(core.solo.process_place()).await;
    life::handle(core, stream, entity, event, lease).await.map_err(|fault| failed(event, fault))
}

/// A look-up of nothing, for the failure log's clock, in which the delivery's deadline must be told.
async fn learn_clock<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    event: &Event,
) -> Result<(), ProcessError> {
    let asked = core.log.which_gated(&core.name, &stream.name, &[]).await;
    let fault = |source| ProcessError::FailureLog { event: EventPlace::from(event), source };
    stream.set_clock(asked.map_err(fault)?.1);
    Ok(())
}

fn failed(event: &Event, fault: NotDone) -> ProcessError {
    let event = EventPlace::from(event);
    match fault {
        NotDone::Fenced => ProcessError::Fenced { event },
        NotDone::LeaseOver => ProcessError::DeadlinePassed { event },
        NotDone::Paused(wait) => ProcessError::Paused { event, wait },
        // Only `run` lets go of a stream while something waits, and only there a failed event waits for its turn.
        NotDone::Leaving | NotDone::Spared { .. } => ProcessError::ShuttingDown { event },
        NotDone::Unavailable(reason) => ProcessError::Unavailable { event, reason },
        NotDone::Log(source) => ProcessError::FailureLog { event, source },
    }
}

type Numbered = Vec<(usize, Result<Outcome, ProcessError>)>;

async fn process_batch<H: Handler>(
    core: &Arc<Core<H>>,
    events: &[Delivery],
) -> Vec<Result<Outcome, ProcessError>> {
    let mut streams = HashMap::<StreamName, Vec<(usize, &Delivery)>>::new();
    for (position, delivery) in events.iter().enumerate() {
        streams.entry(delivery.event.stream().clone()).or_default().push((position, delivery));
    }
    let per_stream: FuturesUnordered<_> =
        streams.into_iter().map(|(name, deliveries)| process_stream(core, name, deliveries)).collect();
    let mut all: Numbered = per_stream.collect::<Vec<_>>().await.into_iter().flatten().collect();
    all.sort_unstable_by_key(|(position, _)| *position);
    all.into_iter().map(|(_, processed)| processed).collect()
}

async fn process_stream<H: Handler>(
    core: &Arc<Core<H>>,
    name: StreamName,
    deliveries: Vec<(usize, &Delivery)>,
) -> Numbered {
    let stream = shared(core, &name);
    stream.known.tally.consumed.add(deliveries.len() as u64);
    let mut groups = BTreeMap::<Bytes, Vec<_>>::new();
    for (position, delivery) in deliveries {
        groups.entry(delivery.event.entity().clone()).or_default().push((position, delivery));
    }
    let entities: Vec<Bytes> = groups.keys().cloned().collect();
    // In line before anything is waited for, so that calls made later come later, however long the look-up takes.
    let mut turns = Vec::with_capacity(entities.len());
    for entity in &entities {
        let entity = stream.entity(&core.fingerprints, entity);
        let mut turn = Box::pin(core.turns.take(entity));
        let taken = futures::poll!(turn.as_mut());
        turns.push((entity, turn, taken));
    }
    let asked = core.log.which_gated(&core.name, &name, &entities);
    let found = match tokio::time::timeout(core.timeouts.failure_log, asked).await {
        Ok(Ok(found)) => Some(found),
        // Each call asks for itself then, and says what is wrong.
        Ok(Err(_)) | Err(_) => None,
    };
    if let Some((_, now)) = &found {
        stream.set_clock(*now);
    }
    let running: FuturesUnordered<_> = groups
        .into_values()
        .zip(turns)
        .enumerate()
        .map(|(place, (group, (entity, waits, taken)))| {
            let gated = found.as_ref().and_then(|(gated, _)| gated.get(place).copied()).unwrap_or(true);
            let stream = &stream;
            async move {
                // What was looked up before the entity's turn came may be so no more: whatever had it may have failed.
                let ask = gated || taken.is_pending();
                let _turn = match taken {
                    Poll::Ready(turn) => turn,
                    Poll::Pending => waits.await,
                };
                process_group(core, stream, entity, group, ask).await
            }
        })
        .collect();
    running.collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// Events of one entity, one after another in one turn. After one that was not simply handled, the log is asked.
async fn process_group<H: Handler>(
    core: &Core<H>,
    stream: &StreamState,
    entity: Fingerprint,
    group: Vec<(usize, &Delivery)>,
    mut ask: bool,
) -> Numbered {
    let mut processed = Numbered::with_capacity(group.len());
    let mut blocked_by: Option<EventPlace> = None;
    for (position, delivery) in group {
        let event = EventPlace::from(&delivery.event);
        let outcome = match &blocked_by {
            Some(earlier) => Err(ProcessError::EarlierNotDone { event, earlier: earlier.clone() }),
            None => process_in_turn(core, stream, entity, delivery, ask).await,
        };
        if let Ok(outcome) = &outcome {
            stream.known.tally.count(outcome);
            telemetry::became(&core.name, &delivery.event, outcome);
        }
        match &outcome {
            Ok(Outcome::Handled | Outcome::Ignored) => {}
            Ok(_) => ask = true,
            Err(_) => blocked_by = blocked_by.or_else(|| Some(EventPlace::from(&delivery.event))),
        }
        processed.push((position, outcome));
    }
    processed
}
