//! Streams that were added to their topic, and wait for the old ones.

use std::{collections::HashSet, sync::Arc};

use tokio::time::Instant;

use super::{Conductor, Step};
use crate::{
    Confirmation, EventSource, FailureLogError, Handler, Layout,
    engine::{
        core::Core,
        intake::{Intake, Phase},
        layout_wait::{self, Blocker, LayoutWait, Reach},
    },
    gate::{LayoutRecord, LayoutStep, Standing},
};

impl<H: Handler, S: EventSource> Conductor<H, S> {
    /// Between a confirmation and the raise: whether the stream may be consumed.
    pub(super) fn see_layout(
        &mut self,
        slot: u64,
        generation: u64,
        layout: Layout,
        confirmation: Confirmation,
    ) {
        let core = Arc::clone(&self.core);
        self.steps.push(Box::pin(async move {
            let seen = layout_wait::see(&core, &layout, confirmation.identity.as_ref()).await;
            let step: Step<H, S> = Box::new(move |conductor| match seen {
                Ok(record) => conductor.stands(slot, generation, layout, confirmation, &record),
                Err(error) => conductor.stop_stream(slot, None, &crate::error_text(&error)),
            });
            step
        }));
    }

    fn stands(
        &mut self,
        slot: u64,
        generation: u64,
        layout: Layout,
        confirmation: Confirmation,
        record: &LayoutRecord,
    ) {
        self.take_note_of_waiting(&layout, record);
        let Some(intake) = self.intakes.get_mut(&slot).filter(|intake| intake.phase == Phase::TakingOver)
        else {
            return;
        };
        intake.layout = Some(layout.name.clone());
        if record.standing(layout.number) == Standing::Admitted {
            waits_no_more(&self.core, intake);
            self.raise(slot, generation, confirmation);
            return;
        }
        intake.phase = Phase::Waiting;
        let delivered: Vec<_> = intake.waiting.drain(..).collect();
        Self::forget(intake, &delivered);
        intake.bad = None;
        intake.known.waiting.set(1);
        // Since when it waits, and what it was found to wait for, stay true when it has to be confirmed again.
        let before = intake.wait.take();
        let since = before.as_ref().map_or_else(Instant::now, |wait| wait.since);
        let (reach, told) = before.map_or((None, None), |wait| (wait.reach, wait.told));
        let identity = confirmation.identity;
        intake.wait = Some(Box::new(LayoutWait { layout, identity, since, reach, told }));
        self.pause_or_resume(slot);
        self.look_again(slot);
    }

    fn take_note_of_waiting(&mut self, layout: &Layout, record: &LayoutRecord) {
        if record.waiting.is_empty() {
            self.awaited.remove(&layout.name);
        } else {
            self.awaited.insert(layout.name.clone());
        }
    }

    /// Looks at the layout, then at what the stream waits for.
    fn look_again(&mut self, slot: u64) {
        let producers_notice = self.core.timeouts.producers_notice;
        let Some(wait) = self.waiting(slot) else { return };
        if wait.since.elapsed() < producers_notice {
            self.goes_on_waiting(slot, Blocker::Producers);
            return;
        }
        let (layout, identity) = (wait.layout.clone(), wait.identity.clone());
        let core = Arc::clone(&self.core);
        self.steps.push(Box::pin(async move {
            let seen = layout_wait::see(&core, &layout, identity.as_ref()).await;
            let step: Step<H, S> = Box::new(move |conductor| conductor.seen_again(slot, seen));
            step
        }));
    }

    fn seen_again(&mut self, slot: u64, seen: Result<LayoutRecord, FailureLogError>) {
        let Some(wait) = self.waiting(slot) else { return };
        let record = match seen {
            Ok(record) => record,
            Err(error) => {
                self.goes_on_waiting(slot, Blocker::Log(crate::error_text(&error)));
                return;
            }
        };
        let change = match record.standing(wait.layout.number) {
            Standing::Admitted => {
                self.is_admitted(slot);
                return;
            }
            Standing::WaitsBehind(change) => {
                self.goes_on_waiting(slot, Blocker::EarlierChange(change));
                return;
            }
            Standing::Waits(change) => change,
        };
        match wait.reach.clone().filter(|reach| reach.is_of(record.generation, change)) {
            Some(reach) => self.try_to_admit(slot, reach),
            None => self.ask_how_far(slot, record.generation, change),
        }
    }

    fn ask_how_far(&mut self, slot: u64, generation: u64, change: crate::gate::LayoutChange) {
        let Some(intake) = self.intakes.get(&slot) else { return };
        let telling = self.source.last_indexes(&intake.stream.assignment, change.old);
        self.steps.push(Box::pin(async move {
            let told = telling.await;
            let step: Step<H, S> = Box::new(move |conductor| match told {
                Ok(last) => conductor.try_to_admit(slot, Reach::new(generation, change, last)),
                Err(error) => {
                    conductor.goes_on_waiting(slot, Blocker::Source(crate::error_text(&error)));
                }
            });
            step
        }));
    }

    fn try_to_admit(&mut self, slot: u64, mut reach: Reach) {
        let Some(wait) = self.waiting(slot) else { return };
        let (layout, identity) = (wait.layout.clone(), wait.identity.clone());
        let core = Arc::clone(&self.core);
        self.steps.push(Box::pin(async move {
            let tried = layout_wait::try_to_admit(&core, &layout, identity.as_ref(), &mut reach).await;
            let step: Step<H, S> = Box::new(move |conductor| {
                if let Some(wait) = conductor.waiting(slot) {
                    wait.reach = Some(reach);
                }
                match tried {
                    Ok(record) => {
                        conductor.take_note_of_waiting(&layout, &record);
                        conductor.seen_again(slot, Ok(record));
                    }
                    Err(blocker) => conductor.goes_on_waiting(slot, blocker),
                }
            });
            step
        }));
    }

    fn waiting(&mut self, slot: u64) -> Option<&mut LayoutWait> {
        let intake = self.intakes.get_mut(&slot).filter(|intake| intake.phase == Phase::Waiting)?;
        intake.wait.as_deref_mut()
    }

    /// Says what the stream waits for, once, and looks again later.
    fn goes_on_waiting(&mut self, slot: u64, blocker: Blocker) {
        let Some(wait) = self.waiting(slot) else { return };
        let why = blocker.tell(&wait.layout);
        let is_news = wait.told.as_ref().is_none_or(|told| !told.is_like(&blocker));
        let elapsed = wait.since.elapsed();
        wait.told = Some(blocker);
        let core = Arc::clone(&self.core);
        let Some(intake) = self.intakes.get(&slot) else { return };
        let stream = &intake.stream.assignment.stream;
        if is_news {
            tracing::info!(consumer = %core.name, %stream, why, "the stream was added to its topic, and waits");
        }
        core.waiting.add(stream.clone(), &why);
        let mut pause = core.timeouts.refresh;
        if let Some(left) = core.timeouts.producers_notice.checked_sub(elapsed)
            && !left.is_zero()
        {
            pause = pause.min(left);
        }
        self.steps.push(Box::pin(async move {
            tokio::time::sleep(pause).await;
            let step: Step<H, S> = Box::new(move |conductor| conductor.look_again(slot));
            step
        }));
    }

    /// The stream is taken over from the first step on: its assignment may have been taken away while it waited.
    fn is_admitted(&mut self, slot: u64) {
        let Some(intake) = self.intakes.get_mut(&slot).filter(|intake| intake.phase == Phase::Waiting) else {
            return;
        };
        let name = intake.stream.assignment.stream.clone();
        intake.phase = Phase::TakingOver;
        tracing::info!(consumer = %self.core.name, stream = %name, "the stream that was added waits no more");
        self.pause_or_resume(slot);
        self.read_record(slot, name);
    }

    /// Owners of old streams look whether anybody waits for these, in whatever process: they then say at once how far they
    /// are settled.
    pub(super) fn look_who_waits(&mut self) {
        let ready = self.intakes.values().filter(|intake| intake.phase == Phase::Ready);
        let unsaved = ready.filter(|intake| intake.settled > intake.saved);
        let layouts: HashSet<_> = unsaved.filter_map(|intake| intake.layout.clone()).collect();
        for name in layouts {
            let core = Arc::clone(&self.core);
            self.chores_left += 1;
            self.steps.push(Box::pin(async move {
                let seen = core.log.layout(&core.name, &name, &LayoutStep::Look).await;
                let step: Step<H, S> = Box::new(move |conductor| {
                    conductor.chores_left -= 1;
                    match seen {
                        Ok(record) if record.waiting.is_empty() => drop(conductor.awaited.remove(&name)),
                        Ok(_) => drop(conductor.awaited.insert(name)),
                        Err(_) => {}
                    }
                });
                step
            }));
        }
    }
}

/// The stream is consumed, or is not this assignment's any more.
pub(super) fn waits_no_more<H: Handler>(core: &Core<H>, intake: &Intake) {
    if intake.wait.is_some() {
        intake.known.waiting.set(0);
        core.waiting.remove(&intake.stream.assignment.stream);
    }
}
