//! How much each benchmark does.

use std::time::Duration;

/// Counts of events, entities and rounds.
pub(crate) struct Sizes {
    pub(crate) quiet_events: usize,
    pub(crate) quiet_entities: usize,
    pub(crate) quiet_rounds: usize,
    pub(crate) gates: usize,
    pub(crate) hold_events: usize,
    pub(crate) hold_entities: usize,
    pub(crate) drain_entities: usize,
    pub(crate) drain_events_each: usize,
    pub(crate) rounds: usize,
    pub(crate) hot_events: usize,
    /// How long other entities' latency is measured while the hot one rests, in each round.
    pub(crate) hot_rest: Duration,
    /// Events of other entities, each second.
    pub(crate) hot_others_per_second: u32,
    /// Parked entities that one call retries.
    pub(crate) bulk_entities: usize,
    /// How long others' latency is measured while they are retried, and a third of it while none is, in turns.
    pub(crate) bulk_step: Duration,
    #[cfg(feature = "services")]
    pub(crate) kafka: crate::kafka_sizes::KafkaSizes,
    #[cfg(feature = "services")]
    pub(crate) sqs: crate::sqs_sizes::SqsSizes,
}

impl Sizes {
    pub(crate) fn new(quick: bool, rounds: Option<usize>) -> Self {
        let full = Self {
            quiet_events: 300_000,
            quiet_entities: 100_000,
            quiet_rounds: rounds.unwrap_or(15).max(1),
            gates: 1_000_000,
            hold_events: 50_000,
            hold_entities: 5_000,
            drain_entities: 2_000,
            drain_events_each: 10,
            rounds: rounds.unwrap_or(5).max(1),
            hot_events: 200_000,
            hot_rest: Duration::from_secs(5),
            hot_others_per_second: 1_000,
            bulk_entities: 100_000,
            bulk_step: Duration::from_secs(10),
            #[cfg(feature = "services")]
            kafka: crate::kafka_sizes::KafkaSizes::new(quick),
            #[cfg(feature = "services")]
            sqs: crate::sqs_sizes::SqsSizes::new(quick),
        };
        if !quick {
            return full;
        }
        Self {
            quiet_events: 3_000,
            quiet_entities: 1_000,
            quiet_rounds: rounds.unwrap_or(2).max(1),
            gates: 2_000,
            hold_events: 1_000,
            hold_entities: 100,
            drain_entities: 50,
            drain_events_each: 4,
            rounds: rounds.unwrap_or(2).max(1),
            hot_events: 400,
            hot_rest: Duration::from_millis(200),
            bulk_entities: 50,
            bulk_step: Duration::from_millis(300),
            ..full
        }
    }
}
