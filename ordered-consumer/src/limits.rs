//! What a consumer may use at most, and how long it waits.

use std::{num::NonZero, thread, time::Duration};

use crate::{RetryPolicy, gate::Settings};

/// What a consumer may use at most. Over a limit, streams wait and say so; nothing is dropped.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Handlers running at the same time, without those of retries. At least 1; 1,000 unless changed.
    pub running_max: usize,
    /// Retries of this process under way at the same time: being published, waiting for the failure log, or running. At
    /// least 1; 1,000 unless changed, as many as `running_max`. Each keeps its event in memory, or a page of those that are
    /// being published (up to 128 KiB, or one event).
    pub retries_running_max: usize,
    /// Tasks among which entities are spread, so that handlers use several cores. At least 1, and never more than
    /// `running_max`; unless changed, one per core.
    pub workers: usize,
    /// Events of one stream that were delivered and are not done with. 2,000 unless changed.
    pub buffered_events_max: usize,
    /// Bytes of these events. 64 MiB unless changed.
    pub buffered_bytes_max: usize,
    /// Events of one stream from the first that is not done with to the last that was started: after a crash, so many
    /// may be delivered again, and are looked at with suspicion. 2,000 unless changed.
    pub uncommitted_max: usize,
    /// Bytes of one event's payload. A larger one stops its stream, and is not lost. 16 MiB unless changed.
    pub payload_bytes_max: usize,
    /// Events held for one entity, exactly. 1,000,000 unless changed.
    pub held_events_max: u64,
    /// Bytes held for one entity, exactly. 1 GiB unless changed.
    pub held_bytes_max: u64,
    /// Events held for the consumer in all, approximately: it is looked at every few seconds. 100,000,000 unless
    /// changed.
    pub held_events_total_max: u64,
    /// Bytes held for the consumer in all, approximately. 100 GiB unless changed.
    pub held_bytes_total_max: u64,
    /// Events of one entity that are published before the first of them must be resolved. 500 unless changed.
    pub release_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running_max: 1_000,
            retries_running_max: 1_000,
            workers: thread::available_parallelism().map_or(1, NonZero::get),
            buffered_events_max: 2_000,
            buffered_bytes_max: 64 << 20,
            uncommitted_max: 2_000,
            payload_bytes_max: 16 << 20,
            held_events_max: 1_000_000,
            held_bytes_max: 1 << 30,
            held_events_total_max: 100_000_000,
            held_bytes_total_max: 100 << 30,
            release_window: 500,
        }
    }
}

/// How long a consumer waits.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// For a handler; it is dropped then, which counts as a failure. 60 s unless changed.
    pub handler: Duration,
    /// How long a retry's claim lasts; it is renewed while the handler runs, and if it cannot be, the handler is
    /// dropped before the claim ends. 30 s unless changed.
    pub claim: Duration,
    /// For a published event to come back, before it is published again; doubled each time. 30 s unless changed.
    pub redelivery: Duration,
    /// For running handlers, when streams are taken away and at shutdown. 10 s unless changed.
    pub drain: Duration,
    /// For the failure log, in calls to `process`; `run` waits for as long as it takes. 10 s unless changed.
    pub failure_log: Duration,
    /// After which a handler that blocks its thread is reported. 1 s unless changed.
    pub blocked: Duration,
    /// Between two looks for due retries that nobody in this process knows of. 1 s unless changed.
    pub poll: Duration,
    /// Between two looks for what operators paused, and for whether streams that were added may be consumed. 5 s unless
    /// changed.
    pub refresh: Duration,
    /// How long producers may take to notice that streams were added to their topic, and send an entity's events to its
    /// old stream still. The added ones wait at least so long, see [`StreamsAdded`](crate::StreamsAdded). 5 minutes, as
    /// Kafka's producers refresh what they know of a topic (`metadata.max.age.ms`), unless changed.
    pub producers_notice: Duration,
    /// How long a shared stream keeps its events at most, and so how long tombstones must be kept there. 14 days, the
    /// longest that SQS keeps messages, unless changed.
    pub retention: Duration,
    /// How long lines of the audit are kept, and with them what came of operators' requests. 90 days unless changed.
    pub audit_retention: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handler: Duration::from_secs(60),
            claim: Duration::from_secs(30),
            redelivery: Duration::from_secs(30),
            drain: Duration::from_secs(10),
            failure_log: Duration::from_secs(10),
            blocked: Duration::from_secs(1),
            poll: Duration::from_secs(1),
            refresh: Duration::from_secs(5),
            producers_notice: Duration::from_secs(300),
            retention: Duration::from_secs(14 * 24 * 3_600),
            audit_retention: Duration::from_secs(90 * 24 * 3_600),
        }
    }
}

/// Each worker has at least one handler's room, so there are never more workers than running handlers.
pub(crate) fn workers(limits: &Limits) -> usize {
    limits.workers.clamp(1, limits.running_max.max(1))
}

pub(crate) fn settings(
    limits: &Limits,
    timeouts: &Timeouts,
    policy: &RetryPolicy,
    mirror_parked: bool,
) -> Settings {
    Settings {
        release_window: limits.release_window.max(1),
        redelivery_timeout: timeouts.redelivery,
        claim_timeout: timeouts.claim,
        attempts_max: policy.attempts_limit(),
        held_events_max: limits.held_events_max,
        held_bytes_max: limits.held_bytes_max,
        mirror_parked,
    }
}
