//! What is done every few seconds: what operators paused, how far streams are settled, how much is held.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{Conductor, Step};
use crate::{EventSource, Handler, engine::intake::Phase, gate::Settle};

/// A stream's progress is written this often even when no tombstone waits for it.
const SAVE_EVERY: Duration = Duration::from_secs(60);
/// Tombstones dropped at once.
const TOMBSTONES: u32 = 1_000;
/// Paused entities looked at in one go; an operator pauses by hand.
const PAUSED: u32 = 1_000;

impl<H: Handler, S: EventSource> Conductor<H, S> {
    /// None of it is waited for, and all of it is tried again the next time.
    pub(super) fn chores(&mut self) {
        // Where the failure log hangs, nothing piles up.
        if self.stopping || self.chores_left > 0 {
            return;
        }
        let now = Instant::now();
        let mut gated = false;
        self.look_who_waits();
        for (slot, intake) in &mut self.intakes {
            let slot = *slot;
            let Some(state) = intake.state.clone().filter(|_| intake.phase == Phase::Ready) else { continue };
            gated |= state.cache.len() > 0 || !state.is_owned();
            let moved = intake.settled > intake.saved;
            // Streams that were added, here or in another process, may wait for nothing but to hear of it.
            let awaited = intake.layout.as_ref().is_some_and(|layout| self.awaited.contains(layout));
            let save = moved && (awaited || state.cache.len() > 0 || now - intake.saved_at >= SAVE_EVERY);
            if save {
                (intake.saved, intake.saved_at) = (intake.settled, now);
            }
            let report = Settle { generation: state.generation, settled: intake.settled, let_go: false };
            let core = Arc::clone(&self.core);
            let mut paused_seen = intake.paused_seen.take();
            self.chores_left += 1;
            self.steps.push(Box::pin(async move {
                if state.is_owned()
                    && let after = paused_seen.as_ref()
                    && let Ok(paused) =
                        core.log.gated_entities(&core.name, &state.name, after, PAUSED, true).await
                {
                    // Only adds: what is clear in the log may be failing in this process.
                    for entity in &paused {
                        state.cache.insert(state.entity(&core.fingerprints, entity));
                    }
                    // The next page the next time, and after the last one the first.
                    paused_seen = paused.last().filter(|_| paused.len() >= PAUSED as usize).cloned();
                }
                let saved = save && state.is_owned();
                let settled = saved && matches!(core.log.settle(&core.name, &state.name, &report).await, Ok(Ok(_)));
                let retention = (!state.is_owned()).then_some(core.timeouts.retention);
                if settled || retention.is_some() {
                    let dropped = core.log.drop_tombstones(&core.name, &state.name, retention, TOMBSTONES).await;
                    tracing::debug!(stream = %state.name, ?dropped, "tombstones that have done their duty are dropped");
                }
                let step: Step<H, S> = Box::new(move |conductor| {
                    conductor.chores_left -= 1;
                    if let Some(intake) = conductor.intakes.get_mut(&slot) {
                        intake.paused_seen = paused_seen;
                    }
                });
                step
            }));
        }
        if (gated || self.over_total || self.core.telemetry.is_recorded()) && self.totals_after <= now {
            self.look_at_totals();
        }
    }

    fn look_at_totals(&mut self) {
        let core = Arc::clone(&self.core);
        self.chores_left += 1;
        self.steps.push(Box::pin(async move {
            let asked = Instant::now();
            let totals = core.log.totals(&core.name).await;
            let took = asked.elapsed();
            let step: Step<H, S> = Box::new(move |conductor| {
                conductor.chores_left -= 1;
                // Counting a million gates takes a store its time: at most a hundredth of it is spent so.
                conductor.totals_after = Instant::now() + took * 100;
                let Ok(totals) = totals else { return };
                let limits = &conductor.core.limits;
                let over = totals.held_events >= limits.held_events_total_max
                    || totals.held_bytes >= limits.held_bytes_total_max;
                if over != conductor.over_total {
                    conductor.over_total = over;
                    let (events, bytes) = (totals.held_events, totals.held_bytes);
                    tracing::warn!(consumer = %conductor.core.name, over, events, bytes, "what the consumer holds in all has crossed its limit; streams wait while it is over");
                    let slots: Vec<u64> = conductor.intakes.keys().copied().collect();
                    for intake in conductor.intakes.values().filter(|_| over) {
                        intake.known.tally.limited.add(1);
                    }
                    slots.into_iter().for_each(|slot| conductor.pause_or_resume(slot));
                }
            });
            step
        }));
    }
}
