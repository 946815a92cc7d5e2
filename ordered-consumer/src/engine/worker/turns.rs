//! Starting and ending the turns of entities.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::Instant;

use super::{Assigned, Ended, FromWorker, Life, Running, Worker};
use crate::{
    Context as EventContext, Handler, Outcome,
    engine::{
        fingerprint::Fingerprint,
        lane::{Lane, Turn},
        life::{self, Dispatched, NotDone},
    },
    gate::{Arrival, Verdict},
};

/// How long an entity that holds as much as it may waits before the failure log is asked again.
const ASK_LIMITED: Duration = Duration::from_secs(1);
/// Events of one entity that are decided in one write at most.
const DECIDED_MAX: usize = 100;

impl<H: Handler> Worker<H> {
    /// Takes an event in: behind its entity's others, or at once where nothing is in its way.
    pub(super) fn dispatch(&mut self, event: Dispatched) {
        let Some(assigned) = self.streams.get(&event.slot).filter(|assigned| !assigned.closed) else {
            self.give_back(&event);
            return;
        };
        let (slot, entity) = (event.slot, event.entity);
        if let Some(lane) = self.lanes.get_mut(&entity) {
            lane.queue.push_back(event);
        } else if event.gated || event.suspect || assigned.station.stream.may_be_gated(entity) {
            self.lanes.insert(entity, Lane::new(Turn::Ready, event));
            self.asking.push(entity);
        } else if assigned.ready.is_empty() && self.may_start(slot) {
            self.start_alone(event);
        } else {
            self.lanes.insert(entity, Lane::new(Turn::Ready, event));
            self.ready(slot, entity);
        }
    }

    fn ready(&mut self, slot: u64, entity: Fingerprint) {
        if let Some(assigned) = self.streams.get_mut(&slot) {
            assigned.ready.push_back(entity);
        }
    }

    fn none_waits(&self, slot: u64) -> bool {
        self.streams.get(&slot).is_some_and(|assigned| assigned.ready.is_empty())
    }

    /// Whether a handler may start now; where that may change without anything being heard, it is looked at again.
    fn may_start(&mut self, slot: u64) -> bool {
        if self.handlers >= self.running_max {
            return false;
        }
        let pauses = |assigned: &Assigned<H>| !assigned.station.stream.known.outage.lets_start();
        if self.streams.get(&slot).is_some_and(pauses) || self.core.solo.is_wanted() {
            self.look_again = true;
            return false;
        }
        if !self.entered {
            self.entered = self.core.solo.enter(self.place);
            self.look_again |= !self.entered;
        }
        self.entered
    }

    fn must_ask(&self, event: &Dispatched, lane: Option<&Lane>) -> bool {
        event.gated
            || event.suspect
            || lane.is_some_and(|lane| lane.gated)
            || self
                .streams
                .get(&event.slot)
                .is_some_and(|assigned| assigned.station.stream.may_be_gated(event.entity))
    }

    /// The quiet path: the handler is polled once in place, and if it ends there, nothing is kept of its turn.
    fn start_alone(&mut self, event: Dispatched) {
        let Some(mut life) = self.handling(&event) else {
            self.give_back(&event);
            return;
        };
        match self.poll_once(&event, &mut life) {
            Some(Ended::Handled(Ok(Outcome::Handled))) => self.finish(&event, Some(Outcome::Handled)),
            ended => {
                let running = self.running_of(&event, life, ended.is_some());
                let entity = event.entity;
                self.lanes.insert(entity, Lane::new(Turn::Handling, event));
                self.begun(running, true);
                if ended.is_some() {
                    self.ended(entity, ended);
                }
            }
        }
    }

    /// Starts what may start: writes at once, handlers in turn, one stream after the other.
    pub(super) fn start_ready(&mut self) {
        let slots: Vec<u64> = self.streams.keys().copied().collect();
        loop {
            for entity in std::mem::take(&mut self.asking) {
                if self.must_postpone(entity) {
                    self.postponed.push(entity);
                    self.look_again = true;
                } else {
                    self.start_deciding(entity);
                }
            }
            let mut started = false;
            for slot in slots.iter().copied() {
                if self.none_waits(slot) || !self.may_start(slot) {
                    continue;
                }
                let next = self.streams.get_mut(&slot).and_then(|assigned| assigned.ready.pop_front());
                if let Some(entity) = next {
                    started = true;
                    self.start_handling(entity);
                }
            }
            if !started && self.asking.is_empty() {
                return;
            }
        }
    }

    /// Whether an entity's first event would only be logged because it may have run before, while the stream pauses for
    /// an outage: of those, many must not end in the log either.
    fn must_postpone(&self, entity: Fingerprint) -> bool {
        let Some(front) = self.lanes.get(&entity).and_then(|lane| lane.queue.front()) else { return false };
        let Some(assigned) = self.streams.get(&front.slot) else { return false };
        let stream = &assigned.station.stream;
        let known = front.gated || stream.may_be_gated(entity);
        front.suspect && !known && !assigned.closed && !stream.known.outage.lets_suspect()
    }

    fn start_handling(&mut self, entity: Fingerprint) {
        let Some(mut lane) = self.lanes.remove(&entity) else { return };
        let Some(front) = lane.queue.front() else { return };
        if self.is_closed(front.slot) {
            self.next(entity, lane);
            return;
        }
        if !lane.cleared && self.must_ask(front, Some(&lane)) {
            self.lanes.insert(entity, lane);
            self.asking.push(entity);
            return;
        }
        let begun = self.handling(front).map(|mut life| {
            let ended = self.poll_once(front, &mut life);
            (self.running_of(front, life, ended.is_some()), ended)
        });
        lane.turn = Turn::Handling;
        self.lanes.insert(entity, lane);
        let Some((running, ended)) = begun else {
            self.ended(entity, None);
            return;
        };
        self.begun(running, true);
        if ended.is_some() {
            self.ended(entity, ended);
        }
    }

    fn handling(&self, event: &Dispatched) -> Option<Life> {
        let assigned = self.streams.get(&event.slot)?;
        let station = Arc::clone(&assigned.station);
        let entity = event.entity;
        let (event, lease) = (event.delivery.event.clone(), event.delivery.lease.clone());
        Some(Box::pin(async move {
            let handled = life::handle(&station.core, &station.stream, entity, &event, lease.as_ref()).await;
            Ended::Handled(handled)
        }))
    }

    fn running_of(&self, event: &Dispatched, life: Life, has_ended: bool) -> Running {
        let (slot, entity, index) = (event.slot, event.entity, event.delivery.event.index());
        let life = (!has_ended).then_some(life);
        Running { slot, entity, index, life, watched: Arc::clone(&self.watched) }
    }

    /// Polls what was just begun, once. What has to wait is polled again by the set it is put into, with its own waker.
    fn poll_once(&self, event: &Dispatched, life: &mut Life) -> Option<Ended> {
        self.watched.begin(event.slot, event.delivery.event.index());
        let polled = life.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.watched.end();
        match polled {
            Poll::Ready(ended) => Some(ended),
            Poll::Pending => None,
        }
    }

    /// Keeps what was begun; if it has ended in place, its place among what runs is given up again at once.
    fn begun(&mut self, running: Running, handler: bool) {
        if let Some(assigned) = self.streams.get_mut(&running.slot) {
            assigned.running += 1;
        }
        self.handlers += usize::from(handler);
        if running.life.is_some() {
            self.running.push(running);
        }
    }

    fn start_deciding(&mut self, entity: Fingerprint) {
        let Some(lane) = self.lanes.get_mut(&entity) else { return };
        let Some(front) = lane.queue.front() else { return };
        let (slot, index, lease) = (front.slot, front.delivery.event.index(), front.delivery.lease.clone());
        let same = |event: &&Dispatched| event.slot == slot && event.delivery.lease == lease;
        let arrivals: Vec<Arrival> = lane
            .queue
            .iter()
            .take_while(same)
            .take(DECIDED_MAX)
            .map(|event| Arrival { event: event.delivery.event.clone(), suspect: event.suspect })
            .collect();
        lane.turn = Turn::Deciding(arrivals.len());
        let Some(assigned) = self.streams.get(&slot) else { return };
        let station = Arc::clone(&assigned.station);
        let life = Box::pin(async move {
            let (core, stream) = (&station.core, &station.stream);
            Ended::Decided(life::decide(core, stream, entity, arrivals, lease.as_ref()).await)
        });
        let watched = Arc::clone(&self.watched);
        self.begun(Running { slot, entity, index, life: Some(life), watched }, false);
    }

    /// What ran for an entity has ended; none: it was dropped.
    pub(super) fn ended(&mut self, entity: Fingerprint, ended: Option<Ended>) {
        let Some(mut lane) = self.lanes.remove(&entity) else { return };
        let slot = lane.queue.front().map(|event| event.slot);
        self.handlers -= usize::from(lane.turn == Turn::Handling);
        match ended {
            Some(Ended::Handled(Ok(outcome))) => {
                lane.gated |= !matches!(outcome, Outcome::Handled | Outcome::Ignored);
                if let Some(event) = lane.queue.pop_front() {
                    self.finish(&event, Some(outcome));
                }
            }
            Some(Ended::Decided(Ok(verdicts))) => self.decided(entity, &mut lane, &verdicts),
            Some(Ended::Handled(Err(fault)) | Ended::Decided(Err(fault))) => self.fault(&mut lane, fault),
            None => {
                if let Some(event) = lane.queue.pop_front() {
                    self.give_back(&event);
                }
            }
        }
        if !matches!(lane.turn, Turn::Limited | Turn::Ready) {
            lane.turn = Turn::Ready;
            lane.cleared = false;
        }
        self.next(entity, lane);
        if let Some(slot) = slot {
            self.one_less(slot);
        }
    }

    fn one_less(&mut self, slot: u64) {
        if let Some(assigned) = self.streams.get_mut(&slot) {
            assigned.running = assigned.running.saturating_sub(1);
        }
        self.say_if_drained(slot);
    }

    /// Lets the entity's next event have its turn, or forgets an entity that has none.
    fn next(&mut self, entity: Fingerprint, mut lane: Lane) {
        while let Some(event) = lane.queue.pop_front_if(|event| self.is_closed(event.slot)) {
            self.give_back(&event);
        }
        let Some(front) = lane.queue.front() else { return };
        let (slot, ask) = (front.slot, !lane.cleared && self.must_ask(front, Some(&lane)));
        let limited = lane.turn == Turn::Limited;
        self.lanes.insert(entity, lane);
        match (limited, ask) {
            (true, _) => {}
            (false, true) => self.asking.push(entity),
            (false, false) => self.ready(slot, entity),
        }
    }

    fn is_closed(&self, slot: u64) -> bool {
        self.streams.get(&slot).is_none_or(|assigned| assigned.closed)
    }

    fn decided(&mut self, entity: Fingerprint, lane: &mut Lane, verdicts: &[Verdict]) {
        lane.turn = Turn::Ready;
        let slot = lane.queue.front().map(|event| event.slot);
        self.limited(slot, lane, verdicts.contains(&Verdict::Full));
        for verdict in verdicts {
            if let Some(outcome) = life::outcome_of(*verdict) {
                // A duplicate, too: it may be this event's own hold, whose first answer was lost.
                lane.gated = true;
                if let Some(event) = lane.queue.pop_front() {
                    self.finish(&event, Some(outcome));
                }
                continue;
            }
            let slot = lane.queue.front().map(|event| event.slot);
            let assigned = slot.and_then(|slot| self.streams.get_mut(&slot));
            match (verdict, assigned) {
                (Verdict::Run, Some(assigned)) => {
                    // On its own turn: nothing else of the entity is under way.
                    assigned.station.stream.cache.remove(entity);
                    (lane.cleared, lane.gated) = (true, false);
                }
                (Verdict::Full, _) => {
                    lane.turn = Turn::Limited;
                    self.ask_limited_at.get_or_insert_with(|| Instant::now() + ASK_LIMITED);
                }
                _ => {}
            }
            return;
        }
    }

    /// Entities that waited for a limit ask again.
    pub(super) fn ask_limited(&mut self) {
        for (entity, lane) in &mut self.lanes {
            if lane.turn != Turn::Limited {
                continue;
            }
            lane.turn = Turn::Ready;
            self.asking.push(*entity);
        }
    }

    /// Counts the entities of a stream that wait for a limit; the conductor hears of the first and of the last.
    fn limited(&mut self, slot: Option<u64>, lane: &mut Lane, limited: bool) {
        let Some(slot) = slot.filter(|_| lane.limited != limited) else { return };
        let Some(assigned) = self.streams.get_mut(&slot) else { return };
        lane.limited = limited;
        if limited {
            assigned.station.stream.known.tally.limited.add(1);
            assigned.limited += 1;
        } else {
            assigned.limited = assigned.limited.saturating_sub(1);
        }
        let told = if limited { assigned.limited == 1 } else { assigned.limited == 0 };
        if told {
            self.tell(FromWorker::Limited { slot, limited });
        }
    }

    /// The first event is not done with, and neither is what may not run without it.
    fn fault(&mut self, lane: &mut Lane, fault: NotDone) {
        let Some(mut first) = lane.queue.pop_front() else { return };
        if let NotDone::Spared { attempt } = fault {
            // It keeps its entity's turn, but nobody's room: other streams go on meanwhile, and other entities probe.
            let context = EventContext { attempt, redelivered: true, ..first.delivery.event.context() };
            first.delivery.event = first.delivery.event.with_context(context);
            lane.queue.push_front(first);
            return;
        }
        let (slot, index) = (first.slot, first.delivery.event.index());
        self.give_back(&first);
        match fault {
            NotDone::LeaseOver => {
                // It may have been extended since, by a heartbeat that knew nothing of this: what was received with the
                // event, and may not have come here yet, must not start before it has come again.
                if let Some(lease) = &first.delivery.lease {
                    lease.end();
                }
                let (over, left): (Vec<_>, Vec<_>) = lane.queue.drain(..).partition(|event| {
                    event.delivery.lease.as_ref().is_some_and(|lease| lease.remaining().is_zero())
                });
                lane.queue.extend(left);
                for event in &over {
                    self.give_back(event);
                }
                return;
            }
            // Nothing is wrong with its stream, and its other events are given back as it is let go of.
            NotDone::Leaving | NotDone::Paused(_) | NotDone::Spared { .. } => return,
            NotDone::Fenced => self.tell(FromWorker::Fenced { slot }),
            NotDone::Unavailable(why) => self.tell(FromWorker::Stopped { slot, index, why }),
            NotDone::Log(error) => {
                let why = crate::error_text(&error);
                self.tell(FromWorker::Stopped { slot, index, why });
            }
        }
        if let Some(assigned) = self.streams.get_mut(&slot) {
            assigned.closed = true;
        }
    }
}
