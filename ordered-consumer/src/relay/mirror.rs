//! Showing parked events to whoever reads the mirror. They stay where they are: nothing here runs or resolves one.

use std::{collections::VecDeque, sync::Arc};

use tokio::{sync::watch, time::timeout};

use super::{Ended, Stopping};
use crate::{
    Handler, ParkedEvent, ParkedPublisher, PublishError, Request, TakenParked,
    engine::{core::Core, life::UNGUARDED},
    gate::{Failure, Input, Reply},
};

/// Parked events published at the same time: room of their own, so that a mirror that is away keeps no retry waiting.
const RUNNING_MAX: usize = 32;
/// Parked gates that wait for room. One that comes on top waits for its due time.
const WAITING_MAX: usize = 10_000;

/// Parked gates that were taken, and how many of them are under way.
#[derive(Default)]
pub(super) struct Mirroring {
    running: usize,
    waiting: VecDeque<TakenParked>,
}

impl Mirroring {
    pub(super) fn add(&mut self, taken: Vec<TakenParked>) {
        let room = WAITING_MAX.saturating_sub(self.waiting.len());
        self.waiting.extend(taken.into_iter().take(room));
    }

    /// The next one, if there is room for it.
    pub(super) fn next(&mut self) -> Option<TakenParked> {
        let next = if self.running < RUNNING_MAX { self.waiting.pop_front() } else { None };
        self.running += usize::from(next.is_some());
        next
    }

    pub(super) fn ended(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    pub(super) fn clear(&mut self) {
        self.waiting.clear();
    }
}

/// Publishes the head, and tells the log. Whatever goes wrong on the way, the gate falls due again.
async fn mirror<H: Handler>(
    core: &Core<H>,
    publisher: &dyn ParkedPublisher,
    taken: TakenParked,
    mut stopping: watch::Receiver<Stopping>,
) -> Ended {
    tokio::select! {
        () = publish(core, publisher, taken) => {}
        _ = stopping.wait_for(|stopping| *stopping == Stopping::Now) => {}
    }
    Ended::Mirrored
}

async fn publish<H: Handler>(core: &Core<H>, publisher: &dyn ParkedPublisher, taken: TakenParked) {
    let Some(parked) = read(core, &taken).await else { return };
    let published = timeout(core.settings.redelivery_timeout, publisher.publish(&parked)).await;
    let published = published.unwrap_or_else(|_| {
        let late = "the mirror did not answer before the event fell due again";
        Err(PublishError::Unavailable(late.into()))
    });
    let (event, tally) = (&parked.event, &core.stream(&taken.key.stream).tally);
    match published {
        Ok(()) => {
            tally.mirrored.add(1);
            tracing::debug!(consumer = %core.name, %event, cause = parked.cause.as_str(), "the parked event is mirrored");
            tell(core, taken, None).await;
        }
        Err(error @ PublishError::Refused(_)) => {
            tally.mirror_refused.add(1);
            let text = crate::error_text(&error);
            tracing::error!(consumer = %core.name, %event, error = text, "the mirror refuses a parked event for good, so it is not mirrored; it stays in the failure log");
            tell(core, taken, Some(Failure::new("mirror", &text))).await;
        }
        Err(error @ PublishError::Unavailable(_)) => {
            let error = crate::error_text(&error);
            tracing::warn!(consumer = %core.name, %event, error, "a parked event was not mirrored, which is tried again later");
        }
    }
}

/// The parked event; none when it cannot be read now, or is not there any more.
async fn read<H: Handler>(core: &Core<H>, taken: &TakenParked) -> Option<ParkedEvent> {
    let head = &taken.head;
    let event = match core.log.held_events(&core.name, &taken.key, (head.index, head.index), 1, 0).await {
        Ok(events) => events.into_iter().next()?,
        Err(error) => {
            let error = crate::error_text(&error);
            tracing::warn!(consumer = %core.name, error, "a parked event cannot be read, and is mirrored later");
            return None;
        }
    };
    Some(ParkedEvent {
        consumer: core.name.clone(),
        event,
        cause: head.cause,
        attempts: head.attempts,
        first_failure: head.first_failure.clone(),
        last_failure: head.last_failure.clone(),
        version: head.version,
    })
}

async fn tell<H: Handler>(core: &Core<H>, taken: TakenParked, refused: Option<Failure>) {
    let TakenParked { key, head } = taken;
    let input = Input::Mirrored { index: head.index, version: head.version, refused };
    match core.retries.ask(Request { key, guard: UNGUARDED, input }).await {
        Ok((answer, _)) if answer.reply == (Reply::Mirrored { counts: true }) => {}
        Ok(_) => {
            tracing::debug!(consumer = %core.name, index = %head.index, "the entity has changed while its parked event was mirrored")
        }
        Err(error) => {
            let error = crate::error_text(&error);
            tracing::warn!(consumer = %core.name, error, "the failure log does not hear that a parked event was mirrored, so it is mirrored again");
        }
    }
}

impl<H: Handler> super::Relay<H> {
    /// Mirrors as many of the parked gates that were taken as there is room for.
    pub(super) fn start_mirroring(&mut self) {
        let Some(publisher) = self.core.parked_mirror.as_ref() else { return };
        if *self.stopping.borrow() != Stopping::No {
            // What was taken falls due again.
            self.mirroring.clear();
            return;
        }
        while let Some(taken) = self.mirroring.next() {
            let (core, publisher) = (Arc::clone(&self.core), Arc::clone(publisher));
            let stopping = self.stopping.subscribe();
            self.work.push(Box::pin(async move { mirror(&core, &*publisher, taken, stopping).await }));
        }
    }
}
