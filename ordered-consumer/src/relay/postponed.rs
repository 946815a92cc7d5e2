//! Gates that were taken while their stream's breaker was not closed: they wait here for its end, and not for their due
//! time, which goes out further each time that they are taken.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;

use crate::{GateKey, Handler, StreamName, TakenGate, engine::core::Core};

/// Gates that wait. One that comes on top waits for its due time.
const POSTPONED_MAX: usize = 10_000;
/// Between two looks at whether a stream lets something in.
const LOOK_EVERY: Duration = Duration::from_millis(250);

#[derive(Default)]
pub(super) struct Postponed {
    streams: HashMap<StreamName, VecDeque<TakenGate>>,
    known: HashSet<GateKey>,
    look_at: Option<Instant>,
}

impl Postponed {
    /// When to look again whether something may run; none when nothing waits.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at.filter(|_| !self.known.is_empty())
    }

    pub(super) fn add(&mut self, taken: TakenGate) {
        if self.known.len() < POSTPONED_MAX && self.known.insert(taken.key.clone()) {
            self.streams.entry(taken.key.stream.clone()).or_default().push_back(taken);
            self.look_at.get_or_insert_with(|| Instant::now() + LOOK_EVERY);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Up to `room` gates whose streams let them run: many of a closed one, of another one at most one.
    pub(super) fn take<H: Handler>(&mut self, core: &Core<H>, room: usize) -> Vec<TakenGate> {
        let now = Instant::now();
        if self.known.is_empty() || self.look_at.is_some_and(|at| at > now) {
            return Vec::new();
        }
        self.look_at = None;
        let mut ready = Vec::new();
        for (stream, waiting) in &mut self.streams {
            let known = core.stream(stream);
            while ready.len() < room && known.outage.try_admit().is_ok() {
                let Some(taken) = waiting.pop_front() else { break };
                self.known.remove(&taken.key);
                ready.push(taken);
                if !known.outage.is_closed() {
                    break;
                }
            }
            if !waiting.is_empty() && !known.outage.is_closed() {
                self.look_at = Some(now + LOOK_EVERY);
            }
        }
        self.streams.retain(|_, waiting| !waiting.is_empty());
        ready
    }
}
