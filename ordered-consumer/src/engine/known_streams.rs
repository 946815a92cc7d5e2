//! What a process knows of its streams for as long as its consumer lives, across assignments.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::outage::Outage;
use crate::{
    OutagePolicy, Stats, StreamName,
    telemetry::{Counter, Level, Tally, Telemetry},
};

/// Streams that are told apart. What comes on top shares one tally, so that nobody's made-up names fill the memory.
const STREAMS_MAX: usize = 4_096;

/// One stream.
pub(crate) struct KnownStream {
    pub(crate) tally: Arc<Tally>,
    pub(crate) buffered_events: Level,
    pub(crate) buffered_bytes: Level,
    /// 1 while the stream waits for others of its layout.
    pub(crate) waiting: Level,
    pub(crate) outage: Outage,
}

/// Every stream that the consumer has had to do with in this process, and what belongs to none.
#[derive(Default)]
pub(crate) struct KnownStreams {
    /// Calls to the failure log that were made again.
    pub(crate) log_retries: Counter,
    /// Handlers found to block their thread.
    pub(crate) blocked: Counter,
    streams: RwLock<Streams>,
}

#[derive(Default)]
struct Streams {
    by_name: HashMap<StreamName, Arc<KnownStream>>,
    /// Of those that are not told apart.
    shared: Option<Arc<Tally>>,
}

impl KnownStreams {
    /// Says where to record to, once the consumer is started.
    pub(crate) fn record_to(&self, telemetry: &Telemetry) {
        telemetry.bind(&self.log_retries, &self.blocked);
    }

    /// A stream, which is known from now on. Only a started consumer has streams.
    pub(crate) fn get(
        &self,
        name: &StreamName,
        telemetry: &Telemetry,
        policy: &OutagePolicy,
    ) -> Arc<KnownStream> {
        let read = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = read.by_name.get(name) {
            return Arc::clone(known);
        }
        drop(read);
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = streams.by_name.get(name) {
            return Arc::clone(known);
        }
        let has_room = streams.by_name.len() < STREAMS_MAX;
        let label = Some(name).filter(|_| has_room);
        let tally = if has_room && telemetry.tells_streams() {
            Arc::new(telemetry.tally(label))
        } else {
            Arc::clone(streams.shared.get_or_insert_with(|| Arc::new(telemetry.tally(None))))
        };
        let (buffered_events, buffered_bytes) = telemetry.buffers(label);
        let outage = Outage::new(telemetry.breaker(label), policy.clone());
        let waiting = telemetry.waiting(label);
        let known = Arc::new(KnownStream { tally, buffered_events, buffered_bytes, waiting, outage });
        if has_room {
            streams.by_name.insert(name.clone(), Arc::clone(&known));
        }
        known
    }

    /// What was counted of all of them.
    pub(crate) fn stats(&self) -> Stats {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        let mut stats =
            Stats { log_retries: self.log_retries.get(), blocked: self.blocked.get(), ..Stats::default() };
        if let Some(shared) = &streams.shared {
            shared.add_to(&mut stats);
        }
        // Where streams are not told apart, each of them has the shared one.
        let own = streams.by_name.values().map(|known| &known.tally);
        let own =
            own.filter(|tally| streams.shared.as_ref().is_none_or(|shared| !Arc::ptr_eq(shared, tally)));
        own.for_each(|tally| tally.add_to(&mut stats));
        stats
    }
}

impl fmt::Debug for KnownStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownStreams").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
