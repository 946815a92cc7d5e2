//! A source that starts a clock after a warm-up and stops it when the last event is settled, whoever pulls from it.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use ordered_consumer::{
    Assignment, Confirming, EventSource, Index, LastIndexes, Settlement, Sharing, SourceError, SourceMessage,
    in_memory_broker::InMemorySource,
};
use tokio::time::Instant;

use crate::process_use::cpu_nanos;

/// What was measured between the two.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timed {
    pub(crate) wall_nanos: f64,
    pub(crate) cpu_nanos: f64,
}

/// Where the measurement ends up.
pub(crate) type Slot = Arc<Mutex<Option<Timed>>>;

enum Phase {
    WarmUp,
    Warming { through: Index },
    Timing { started: Instant, cpu: f64 },
    Over,
}

/// One assignment's events: the first batch is the warm-up, which must be settled before the clock starts.
pub(crate) struct TimedSource {
    inner: InMemorySource,
    last: Index,
    phase: Phase,
    slot: Slot,
}

impl TimedSource {
    pub(crate) fn new(inner: InMemorySource, last: Index) -> (Self, Slot) {
        let slot = Slot::default();
        (Self { inner, last, phase: Phase::WarmUp, slot: Arc::clone(&slot) }, slot)
    }

    fn settled(&mut self, watermark: Index) {
        match &self.phase {
            Phase::Warming { through } if watermark >= *through => {
                self.phase = Phase::Timing { started: Instant::now(), cpu: cpu_nanos() };
            }
            Phase::Timing { started, cpu } if watermark >= self.last => {
                let wall_nanos = started.elapsed().as_secs_f64() * 1e9;
                let timed = Timed { wall_nanos, cpu_nanos: cpu_nanos() - cpu };
                *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(timed);
                self.phase = Phase::Over;
            }
            Phase::WarmUp | Phase::Warming { .. } | Phase::Timing { .. } | Phase::Over => {}
        }
    }
}

#[async_trait]
impl EventSource for TimedSource {
    fn describe(&self) -> String {
        self.inner.describe()
    }

    fn sharing(&self) -> Sharing {
        self.inner.sharing()
    }

    async fn next(&mut self) -> Result<SourceMessage, SourceError> {
        if let Phase::Warming { .. } = self.phase {
            // Whoever settles the warm-up asks again.
            std::future::pending::<()>().await;
        }
        let message = self.inner.next().await?;
        if let (Phase::WarmUp, SourceMessage::Events { deliveries, .. }) = (&self.phase, &message)
            && let Some(last) = deliveries.last()
        {
            self.phase = Phase::Warming { through: last.event.index() };
        }
        Ok(message)
    }

    fn confirm(&mut self, assignment: &Assignment) -> Confirming {
        self.inner.confirm(assignment)
    }

    fn last_indexes(&mut self, assignment: &Assignment, streams: u32) -> LastIndexes {
        self.inner.last_indexes(assignment, streams)
    }

    fn pause(&mut self, assignment: &Assignment) {
        self.inner.pause(assignment);
    }

    fn resume(&mut self, assignment: &Assignment) {
        self.inner.resume(assignment);
    }

    fn pause_copies(&mut self) {
        self.inner.pause_copies();
    }

    fn resume_copies(&mut self) {
        self.inner.resume_copies();
    }

    fn settle(&mut self, settlement: Settlement) {
        let watermark = settlement.watermark;
        self.inner.settle(settlement);
        if let Some(watermark) = watermark {
            self.settled(watermark);
        }
    }

    fn release(&mut self, assignment: &Assignment) {
        self.inner.release(assignment);
    }

    async fn close(&mut self) -> Result<(), SourceError> {
        self.inner.close().await
    }
}
