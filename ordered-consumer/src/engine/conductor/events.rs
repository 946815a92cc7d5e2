//! Events in, to the workers; what became of them out, to the source.

use std::{collections::HashMap, sync::Arc};

use super::{Conductor, Step};
use crate::{
    Assignment, Delivery, EventSource, Handler, Index, Outcome, Settlement, Sharing, check_event,
    engine::{
        fingerprint::BuildIdentity,
        intake::{Intake, Phase, Waiting},
        life::Dispatched,
        persist,
        worker::{Done, FromWorker, ToWorker},
    },
};

/// What became of one assignment's events in one report.
#[derive(Default)]
struct Round {
    settled: Vec<(Index, u64)>,
    held: Vec<u64>,
    abandoned: Vec<u64>,
    handled: u64,
}

impl<H: Handler, S: EventSource> Conductor<H, S> {
    /// Takes deliveries in; of an assignment that is gone, none.
    pub(super) fn delivered(&mut self, assignment: &Assignment, deliveries: Vec<Delivery>) {
        let Some(slot) = self.slots.get(assignment).copied() else {
            let receipts: Vec<u64> = deliveries.iter().map(|delivery| delivery.receipt).collect();
            self.source.abandon(assignment, &receipts);
            return;
        };
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        let (mut taken, mut refused) = (Vec::with_capacity(deliveries.len()), Vec::new());
        for delivery in deliveries {
            if matches!(intake.phase, Phase::Stopped | Phase::Leaving | Phase::Waiting)
                || intake.bad.is_some()
            {
                refused.push(delivery.receipt);
                continue;
            }
            let bytes = delivery.event.size();
            if let Err(error) = check_event(&delivery.event, self.core.limits.payload_bytes_max) {
                // What came before it goes on; it and what follows are not taken, and are delivered again after a
                // restart.
                intake.bad = Some((delivery.event.index(), error.to_string()));
                refused.push(delivery.receipt);
                continue;
            }
            taken.push(Waiting { delivery, gated: false, bytes });
        }
        if !refused.is_empty() {
            // A shared stream's source would keep them from everybody else until then.
            self.source.abandon(assignment, &refused);
        }
        intake.known.tally.consumed.add(taken.len() as u64);
        intake.buffered += taken.len();
        intake.buffered_bytes += taken.iter().map(|waiting| waiting.bytes).sum::<usize>();
        intake.tell_buffered();
        match self.source.sharing() {
            Sharing::Owned => intake.waiting.extend(taken),
            Sharing::Shared => {
                intake.received.extend(taken);
                self.look_up(slot);
            }
        }
        self.pump(slot);
    }

    /// What comes next in the stream is no event: what came before it goes on.
    pub(super) fn unreadable(&mut self, assignment: &Assignment, index: Index, why: String) {
        let Some(slot) = self.slots.get(assignment).copied() else { return };
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        if !matches!(intake.phase, Phase::Stopped | Phase::Leaving | Phase::Waiting) && intake.bad.is_none() {
            intake.bad = Some((index, why));
            self.pump(slot);
        }
    }

    /// One look-up for everything that a shared stream has delivered since the last one, once it is known which it is.
    pub(super) fn look_up(&mut self, slot: u64) {
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        let Some(state) = intake.state.clone() else { return };
        if intake.looking_up || intake.received.is_empty() {
            return;
        }
        intake.looking_up = true;
        let mut received = std::mem::take(&mut intake.received);
        let core = Arc::clone(&self.core);
        self.steps.push(Box::pin(async move {
            let mut entities: Vec<_> = received.iter().map(|w| w.delivery.event.entity().clone()).collect();
            entities.sort_unstable();
            entities.dedup();
            let call = || core.log.which_gated(&core.name, &state.name, &entities);
            let found = persist::persist(&core.name, &core.streams, "looking gates up", call).await;
            let why = match found {
                Ok((gated, now)) => {
                    state.set_clock(now);
                    for waiting in &mut received {
                        let place = entities.binary_search(waiting.delivery.event.entity());
                        waiting.gated =
                            place.ok().and_then(|place| gated.get(place)).copied().unwrap_or(true);
                    }
                    None
                }
                Err(error) => Some(crate::error_text(&error)),
            };
            let step: Step<H, S> = Box::new(move |conductor| {
                conductor.looked_up(slot, received);
                match why {
                    Some(why) => conductor.stop_stream(slot, None, &why),
                    None => conductor.look_up(slot),
                }
                conductor.pump(slot);
            });
            step
        }));
    }

    fn looked_up(&mut self, slot: u64, received: Vec<Waiting>) {
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        intake.looking_up = false;
        if !matches!(intake.phase, Phase::Stopped | Phase::Leaving) {
            intake.waiting.extend(received);
            return;
        }
        // It stopped meanwhile: what nobody takes from here on must not be kept from others.
        Self::give_back(&mut self.source, intake, &received);
    }

    /// Hands to the workers what may go, and pauses or resumes the source by what is left.
    pub(super) fn pump(&mut self, slot: u64) {
        let limits = &self.core.limits;
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        let mut batches: Vec<Vec<Dispatched>> = Vec::new();
        if let (Phase::Ready, Some(state)) = (intake.phase, intake.state.clone()) {
            // A fair share and a bit: entities are spread evenly, as their fingerprints are.
            let share = intake.waiting.len().min(limits.uncommitted_max) * 5 / 4 / self.workers.len().max(1);
            batches.resize_with(self.workers.len(), || Vec::with_capacity(share));
            while intake.progress.uncommitted() < limits.uncommitted_max.max(1)
                && let Some(Waiting { delivery, gated, bytes }) = intake.waiting.pop_front()
            {
                let entity = state.entity(&self.core.fingerprints, delivery.event.entity());
                let sequence = intake.progress.dispatched(delivery.event.index());
                let redelivered = !state.is_owned() && delivery.event.context().redelivered;
                let suspect = redelivered || intake.suspects_left > 0;
                intake.suspects_left = intake.suspects_left.saturating_sub(1);
                let event = Dispatched { delivery, slot, entity, sequence, bytes, gated, suspect };
                if let Some(batch) = batches.get_mut(entity.part(self.workers.len())) {
                    batch.push(event);
                }
            }
        }
        // Not before, because the stream may be being taken over still, or too much of it under way.
        let reached = intake.phase == Phase::Ready && intake.nothing_waits();
        let bad = if reached { intake.bad.take() } else { None };
        for (worker, batch) in batches.into_iter().enumerate().filter(|(_, batch)| !batch.is_empty()) {
            self.tell_worker(worker, ToWorker::Events(batch));
        }
        self.pause_or_resume(slot);
        if let Some((index, why)) = bad {
            self.stop_stream(slot, Some(index), &why);
        }
    }

    pub(super) fn pause_or_resume(&mut self, slot: u64) {
        let limits = &self.core.limits;
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        let over = |events: usize, bytes: usize| {
            events >= limits.buffered_events_max.max(1) || bytes >= limits.buffered_bytes_max.max(1)
        };
        let full = over(intake.buffered, intake.buffered_bytes)
            || !intake.nothing_waits()
            || intake.bad.is_some()
            || intake.limited > 0
            || self.over_total
            || matches!(intake.phase, Phase::Stopped | Phase::Leaving | Phase::Waiting);
        // Not at the first event that is done, lest the source be asked for one event at a time.
        let roomy =
            !full && !over(intake.buffered.saturating_mul(2), intake.buffered_bytes.saturating_mul(2));
        if full && !intake.paused {
            intake.paused = true;
            self.source.pause(&intake.stream.assignment);
        } else if roomy && intake.paused {
            intake.paused = false;
            self.source.resume(&intake.stream.assignment);
        }
    }

    pub(super) fn reported(&mut self, report: FromWorker) {
        match report {
            FromWorker::Done(done) => self.done(done),
            FromWorker::Fenced { slot } => self.fenced(slot),
            FromWorker::Stopped { slot, index, why } => self.stop_stream(slot, Some(index), &why),
            FromWorker::Limited { slot, limited } => self.limited(slot, limited),
            FromWorker::Drained { slot, clean } => self.drained(slot, clean),
        }
    }

    fn limited(&mut self, slot: u64, limited: bool) {
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        let name = &intake.stream.assignment.stream;
        if limited {
            intake.limited += 1;
            tracing::warn!(consumer = %self.core.name, stream = %name, "an entity holds as much as it may; the stream waits until some of it is resolved");
        } else {
            intake.limited = intake.limited.saturating_sub(1);
            tracing::info!(consumer = %self.core.name, stream = %name, "the stream goes on");
        }
        self.pause_or_resume(slot);
    }

    fn done(&mut self, done: Vec<Done>) {
        let mut rounds = HashMap::<u64, Round, BuildIdentity>::default();
        for Done { slot, sequence, index, receipt, bytes, outcome } in done {
            let Some(intake) = self.intakes.get_mut(&slot) else { continue };
            intake.buffered = intake.buffered.saturating_sub(1);
            intake.buffered_bytes = intake.buffered_bytes.saturating_sub(bytes);
            let round = rounds.entry(slot).or_default();
            match &outcome {
                // Nearly all of them: one addition to what other threads add to as well is enough for a round.
                Some(Outcome::Handled) => round.handled += 1,
                Some(outcome) => intake.known.tally.count(outcome),
                None => {}
            }
            if outcome == Some(Outcome::Held) {
                round.held.push(receipt);
            }
            if outcome.is_some() {
                intake.progress.done(sequence);
                round.settled.push((index, receipt));
            } else {
                round.abandoned.push(receipt);
                if intake.state.as_ref().is_some_and(|state| !state.is_owned()) {
                    // A shared stream has no watermark; the place only counts what is under way.
                    intake.progress.done(sequence);
                }
            }
        }
        for (slot, Round { settled: events, held, abandoned, handled }) in rounds {
            let Some(intake) = self.intakes.get_mut(&slot) else { continue };
            intake.known.tally.handled.add(handled);
            intake.tell_buffered();
            let assignment = intake.stream.assignment.clone();
            let lost = intake.leaving.is_some_and(Self::is_lost);
            if !abandoned.is_empty() {
                self.source.abandon(&assignment, &abandoned);
            }
            if !events.is_empty() && !lost {
                let watermark = intake.progress.watermark();
                self.source.settle(Settlement { assignment, events, held, watermark });
            }
            self.pump(slot);
        }
    }

    /// The stream waits for an operator; others go on.
    pub(super) fn stop_stream(&mut self, slot: u64, index: Option<crate::Index>, why: &str) {
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        if matches!(intake.phase, Phase::Stopped | Phase::Leaving) {
            return;
        }
        intake.phase = Phase::Stopped;
        intake.known.tally.stopped.add(1);
        let waiting: Vec<_> = intake.waiting.drain(..).chain(intake.received.drain(..)).collect();
        Self::give_back(&mut self.source, intake, &waiting);
        let (stream, index) = (&intake.stream.assignment.stream, index.map(|index| index.to_string()));
        tracing::error!(consumer = %self.core.name, %stream, index, why, "the stream has stopped and waits for an operator; nothing of it is lost");
        // Whoever asks what has stopped is told which event it was, too.
        let told = index.map_or_else(|| why.to_owned(), |index| format!("event {index}: {why}"));
        self.core.stopped.add(stream.clone(), &told);
        self.pause_or_resume(slot);
    }

    /// What waits will not be dispatched: the source may give it to others.
    pub(super) fn give_back(source: &mut S, intake: &mut Intake, waiting: &[Waiting]) {
        Self::forget(intake, waiting);
        let receipts: Vec<u64> = waiting.iter().map(|waiting| waiting.delivery.receipt).collect();
        source.abandon(&intake.stream.assignment, &receipts);
    }

    pub(super) fn forget<'a>(intake: &mut Intake, waiting: impl IntoIterator<Item = &'a Waiting>) {
        for waiting in waiting {
            intake.buffered = intake.buffered.saturating_sub(1);
            intake.buffered_bytes = intake.buffered_bytes.saturating_sub(waiting.bytes);
        }
    }
}
