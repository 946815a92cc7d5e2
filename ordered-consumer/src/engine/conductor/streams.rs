//! Streams come and go: takeover behind the fence, revocation, and letting go.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Conductor, Step, layouts::waits_no_more};
use crate::{
    AssignedStream, Assignment, Confirmation, EventSource, Handler, Index, Sharing, SourceError, StreamName,
    engine::{
        core::Core,
        intake::{Intake, Leaving, Phase},
        persist,
        stream_state::StreamState,
        takeover::{self, TakenOver},
        worker::ToWorker,
    },
    gate::{Settle, StreamRecord, TakeOver},
};

impl<H: Handler, S: EventSource> Conductor<H, S> {
    pub(super) fn assigned(&mut self, stream: AssignedStream) {
        let slot = self.next_slot;
        self.next_slot += 1;
        let name = stream.assignment.stream.clone();
        self.slots.insert(stream.assignment.clone(), slot);
        self.intakes.insert(slot, Intake::new(stream, self.core.stream(&name)));
        self.read_record(slot, name);
    }

    /// The first step of a takeover: the stream's generation, which is raised only after the broker has confirmed, and its
    /// identity.
    pub(super) fn read_record(&mut self, slot: u64, name: StreamName) {
        let core = Arc::clone(&self.core);
        self.steps.push(Box::pin(async move {
            let call = || core.log.stream(&core.name, &name);
            let read = persist::persist(&core.name, &core.streams, "taking a stream over", call).await;
            let step: Step<H, S> = Box::new(move |conductor| match read {
                Ok(record) => conductor.ask_to_confirm(slot, record),
                Err(error) => conductor.stop_stream(slot, None, &crate::error_text(&error)),
            });
            step
        }));
    }

    /// The second step: the broker is asked about the assignment.
    fn ask_to_confirm(&mut self, slot: u64, record: Option<StreamRecord>) {
        let Some(intake) = self.intakes.get_mut(&slot).filter(|intake| intake.phase == Phase::TakingOver)
        else {
            return;
        };
        if self.source.sharing() == Sharing::Owned {
            // Of a stream that is taken over again, events may have come on that do not follow what is settled.
            let stale: Vec<_> = intake.waiting.drain(..).collect();
            Self::forget(intake, &stale);
            intake.bad = None;
        }
        let confirming = self.source.confirm(&intake.stream.assignment);
        self.steps.push(Box::pin(async move {
            let confirmed = confirming.await;
            let step: Step<H, S> = Box::new(move |conductor| conductor.confirmed(slot, record, confirmed));
            step
        }));
    }

    /// What the broker says about the assignment.
    fn confirmed(
        &mut self,
        slot: u64,
        record: Option<StreamRecord>,
        confirmed: Result<Option<Confirmation>, SourceError>,
    ) {
        let Some(intake) = self.intakes.get(&slot) else { return };
        let name = intake.stream.assignment.stream.clone();
        if intake.phase != Phase::TakingOver {
            return;
        }
        let confirmation = match confirmed {
            Ok(Some(confirmation)) => confirmation,
            // It is gone; that it was revoked will be heard.
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(consumer = %self.core.name, stream = %name, error = crate::error_text(&error), "the broker is asked again for the assignment");
                let core = Arc::clone(&self.core);
                self.steps.push(Box::pin(async move {
                    tokio::time::sleep(core.timeouts.poll).await;
                    let step: Step<H, S> = Box::new(move |conductor| conductor.read_record(slot, name));
                    step
                }));
                return;
            }
        };
        let generation = record.as_ref().map_or(0, |record| record.generation);
        match (self.source.sharing(), confirmation.layout.clone()) {
            (Sharing::Shared, _) => self.recognise(slot, record, confirmation.identity),
            (Sharing::Owned, Some(layout)) => self.see_layout(slot, generation, layout, confirmation),
            (Sharing::Owned, None) => self.raise(slot, generation, confirmation),
        }
    }

    /// The third step of a shared stream: it must be the one that was consumed before.
    fn recognise(&mut self, slot: u64, record: Option<StreamRecord>, identity: Option<Bytes>) {
        let Some(intake) = self.intakes.get(&slot) else { return };
        let AssignedStream { assignment, lease } = intake.stream.clone();
        let core = Arc::clone(&self.core);
        self.steps.push(Box::pin(async move {
            let name = assignment.stream;
            let taken = takeover::recognise(&core, &name, slot, (record, identity), lease).await;
            let step: Step<H, S> = Box::new(move |conductor| conductor.taken_over(slot, name, taken));
            step
        }));
    }

    /// The third step: what the broker confirmed is taken over, if nobody else has done so since the first step.
    pub(super) fn raise(&mut self, slot: u64, generation: u64, confirmation: Confirmation) {
        let Some(intake) = self.intakes.get_mut(&slot).filter(|intake| intake.phase == Phase::TakingOver)
        else {
            return;
        };
        let stream = intake.stream.clone();
        let name = stream.assignment.stream.clone();
        // Where the broker would go on, everything below is done with.
        intake.settled = intake.settled.max(confirmation.position.and_then(Index::before));
        let asked = TakeOver {
            seen_generation: generation,
            identity: confirmation.identity,
            position: confirmation.position,
            uncommitted_max: self.core.limits.uncommitted_max as u64,
        };
        let core = Arc::clone(&self.core);
        self.steps.push(Box::pin(async move {
            let taken = takeover::raise_and_load(&core, &name, slot, &asked, stream.lease).await;
            let step: Step<H, S> = Box::new(move |conductor| conductor.taken_over(slot, name, taken));
            step
        }));
    }

    fn taken_over(&mut self, slot: u64, name: StreamName, taken: TakenOver) {
        match taken {
            TakenOver::Ready { state, suspects } => self.ready(slot, Arc::from(state), suspects),
            TakenOver::Raised if self.intakes.contains_key(&slot) => self.read_record(slot, name),
            TakenOver::Raised => {}
            TakenOver::Stopped(why) => self.stop_stream(slot, None, &why),
        }
    }

    fn ready(&mut self, slot: u64, state: Arc<StreamState>, suspects: u64) {
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        if intake.phase != Phase::TakingOver {
            return;
        }
        tracing::info!(consumer = %self.core.name, stream = %state.name, generation = state.generation, gates = state.cache.len(), suspects, "the stream is consumed");
        intake.phase = Phase::Ready;
        intake.suspects_left = suspects;
        intake.state = Some(Arc::clone(&state));
        for worker in 0..self.workers.len() {
            self.tell_worker(worker, ToWorker::Stream(Arc::clone(&state)));
        }
        self.look_up(slot);
        self.pump(slot);
    }

    /// The broker takes a stream away, or the consumer shuts down.
    pub(super) fn revoked(&mut self, assignment: &Assignment, lost: bool) {
        if let Some(slot) = self.slots.get(assignment).copied() {
            self.leave(slot, Leaving::Revoked { lost });
        } else {
            self.source.release(assignment);
        }
    }

    /// A write was refused, because this process's generation is stale; or nothing may start, because its lease has run out.
    pub(super) fn fenced(&mut self, slot: u64) {
        if let Some(intake) = self.intakes.get(&slot) {
            let (consumer, stream) = (&self.core.name, &intake.stream.assignment.stream);
            let lease = intake.stream.lease.as_ref();
            if lease.is_some_and(|lease| lease.remaining().is_zero()) {
                tracing::warn!(%consumer, %stream, "the stream's lease has run out before the broker extended it; it is taken over again");
            } else {
                tracing::warn!(%consumer, %stream, "a write was refused, because the stream has been taken over by somebody else");
            }
        }
        self.leave(slot, Leaving::Fenced);
    }

    pub(super) fn is_lost(leaving: Leaving) -> bool {
        match leaving {
            Leaving::Revoked { lost } => lost,
            Leaving::Fenced => true,
        }
    }

    fn leave(&mut self, slot: u64, leaving: Leaving) {
        let workers = self.workers.len();
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        let lost = Self::is_lost(leaving);
        let first = intake.leaving.is_none();
        if first {
            // Not once it has left: by then another assignment of the stream may have something to say.
            self.core.stopped.remove(&intake.stream.assignment.stream);
            waits_no_more(&self.core, intake);
        }
        // A revocation counts for more than a refused write: there is nothing to take over again.
        if first || matches!(leaving, Leaving::Revoked { .. }) {
            intake.leaving = Some(leaving);
        }
        intake.phase = Phase::Leaving;
        let waiting: Vec<_> = intake.waiting.drain(..).chain(intake.received.drain(..)).collect();
        Self::give_back(&mut self.source, intake, &waiting);
        let Some(state) = intake.state.clone() else {
            self.left(slot);
            return;
        };
        if lost {
            state.gone.store(true, Ordering::Release);
        }
        state.leave();
        if first {
            intake.draining = workers;
            intake.drop_at = Some(Instant::now() + self.core.timeouts.drain);
        }
        for worker in 0..workers {
            if first {
                self.tell_worker(worker, ToWorker::Revoke { slot });
            }
            if lost {
                self.tell_worker(worker, ToWorker::Drop { slot });
            }
        }
    }

    /// Handlers that have not ended within their time are dropped.
    pub(super) fn drop_overdue(&mut self) {
        let now = Instant::now();
        let workers = self.workers.len();
        let overdue =
            self.intakes.iter_mut().filter(|(_, intake)| intake.drop_at.is_some_and(|at| at <= now));
        let mut slots = Vec::new();
        for (slot, intake) in overdue {
            intake.drop_at = None;
            tracing::warn!(consumer = %self.core.name, stream = %intake.stream.assignment.stream, "handlers are dropped, because the time for them to end is over");
            slots.push(*slot);
        }
        for slot in slots {
            (0..workers).for_each(|worker| self.tell_worker(worker, ToWorker::Drop { slot }));
        }
    }

    /// A worker has nothing of a stream running any more.
    pub(super) fn drained(&mut self, slot: u64, clean: bool) {
        let Some(intake) = self.intakes.get_mut(&slot) else { return };
        intake.clean &= clean;
        intake.draining = intake.draining.saturating_sub(1);
        if intake.draining > 0 {
            return;
        }
        intake.drop_at = None;
        let lost = intake.leaving.is_some_and(Self::is_lost);
        let Some(state) = intake.state.clone().filter(|state| state.is_owned() && !lost) else {
            self.left(slot);
            return;
        };
        // Events under suspicion that did not come yet stay under suspicion for whoever comes next.
        let let_go = intake.clean && intake.suspects_left == 0;
        let report = Settle { generation: state.generation, settled: intake.settled, let_go };
        let core = Arc::clone(&self.core);
        self.steps.push(Box::pin(async move {
            let_go_of(&core, &state.name, &report).await;
            let step: Step<H, S> = Box::new(move |conductor| conductor.left(slot));
            step
        }));
    }

    /// Nothing of the assignment is left in this process.
    fn left(&mut self, slot: u64) {
        let Some(mut intake) = self.intakes.remove(&slot) else { return };
        (intake.buffered, intake.buffered_bytes) = (0, 0);
        intake.tell_buffered();
        let assignment = intake.stream.assignment.clone();
        self.slots.remove(&assignment);
        if intake.leaving == Some(Leaving::Fenced) && !self.stopping {
            if intake.paused {
                // To the source it is the same assignment, and what takes it over begins as one that is not paused.
                self.source.resume(&assignment);
            }
            self.assigned(intake.stream);
        } else {
            self.source.release(&assignment);
        }
    }
}

/// Best effort, and not for longer than a drain: without it the next owner merely has more to suspect.
async fn let_go_of<H: Handler>(core: &Core<H>, stream: &StreamName, report: &Settle) {
    let call = || core.log.settle(&core.name, stream, report);
    let written = persist::persist(&core.name, &core.streams, "letting go of a stream", call);
    match tokio::time::timeout(core.timeouts.drain, written).await {
        Ok(Ok(Ok(_))) => {}
        Ok(Ok(Err(refusal))) => tracing::debug!(%stream, %refusal, "the stream was let go of too late"),
        Ok(Err(error)) => {
            tracing::warn!(%stream, error = crate::error_text(&error), "the failure log was not told that the stream is let go of");
        }
        Err(_) => {
            tracing::warn!(%stream, "the failure log was not told in time that the stream is let go of")
        }
    }
}
