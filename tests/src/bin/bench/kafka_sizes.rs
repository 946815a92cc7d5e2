//! How much each benchmark with Kafka does: all of them together take some ten minutes.

use std::time::Duration;

/// Counts of events and entities.
#[derive(Clone)]
pub(crate) struct KafkaSizes {
    pub(crate) quiet_events: usize,
    pub(crate) quiet_entities: usize,
    /// Keys drawn with s = 0.5.
    pub(crate) flat_events: usize,
    /// Keys drawn with s = 1.
    pub(crate) steep_events: usize,
    /// Events that a loop handles one after the other.
    pub(crate) sequential_events: usize,
    /// Events that are there at the start, for the throughput beside failing entities.
    pub(crate) backlog_events: usize,
    /// Entities of these; every hundredth fails for good.
    pub(crate) failures_entities: usize,
    /// Events a second, for the latency beside failing entities; far below what the consumer can do.
    pub(crate) live_per_second: usize,
    /// How long they come.
    pub(crate) live: Duration,
    pub(crate) released_entities: usize,
    pub(crate) released_events_each: usize,
}

impl KafkaSizes {
    pub(crate) fn new(quick: bool) -> Self {
        if quick {
            return Self {
                quiet_events: 20_000,
                quiet_entities: 1_000,
                flat_events: 5_000,
                steep_events: 2_000,
                sequential_events: 50,
                backlog_events: 5_000,
                failures_entities: 1_000,
                live_per_second: 1_000,
                live: Duration::from_millis(500),
                released_entities: 100,
                released_events_each: 4,
            };
        }
        Self {
            quiet_events: 1_000_000,
            quiet_entities: 100_000,
            flat_events: 100_000,
            steep_events: 40_000,
            sequential_events: 1_000,
            backlog_events: 150_000,
            failures_entities: 10_000,
            live_per_second: 2_000,
            live: Duration::from_secs(4),
            released_entities: 2_000,
            released_events_each: 10,
        }
    }
}
