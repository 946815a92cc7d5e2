//! Letting go of an assignment.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{FromWorker, Worker};
use crate::{Handler, engine::lane::Turn};

impl<H: Handler> Worker<H> {
    /// Nothing of the assignment starts any more; what waits is given back, what runs goes on.
    pub(super) fn revoke(&mut self, slot: u64) {
        let Some(assigned) = self.streams.get_mut(&slot) else {
            self.tell(FromWorker::Drained { slot, clean: true });
            return;
        };
        (assigned.closed, assigned.revoked) = (true, true);
        let mut back = Vec::new();
        for lane in self.lanes.values_mut() {
            let running = match lane.turn {
                Turn::Ready | Turn::Limited => 0,
                Turn::Handling => 1,
                Turn::Deciding(events) => events,
            };
            let waiting = lane.queue.split_off(running.min(lane.queue.len()));
            let (gone, left): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|event| event.slot == slot);
            lane.queue.extend(left);
            back.extend(gone);
        }
        self.lanes.retain(|_, lane| !lane.queue.is_empty());
        for event in &back {
            self.give_back(event);
        }
        self.say_if_drained(slot);
    }

    /// Drops what still runs of the assignment.
    pub(super) fn drop_running(&mut self, slot: u64) {
        if let Some(assigned) = self.streams.get_mut(&slot) {
            assigned.clean = false;
        }
        let (gone, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.running).into_iter().partition(|running| running.slot == slot);
        self.running.extend(left);
        for mut running in gone {
            let entity = running.entity;
            // A handler may panic when it is dropped, which must not take the worker with it.
            if catch_unwind(AssertUnwindSafe(|| running.life = None)).is_err() {
                tracing::warn!(consumer = %self.core.name, index = %running.index, "a handler panicked when it was dropped");
            }
            self.ended(entity, None);
        }
    }

    /// Says that nothing of a revoked assignment runs, once that is so, and that all its events were reported.
    pub(super) fn say_if_drained(&mut self, slot: u64) {
        let drained = |assigned: &super::Assigned<H>| assigned.revoked && assigned.running == 0;
        if self.streams.get(&slot).is_some_and(drained)
            && let Some(assigned) = self.streams.remove(&slot)
        {
            self.tell_done();
            self.tell(FromWorker::Drained { slot, clean: assigned.clean });
        }
    }
}
