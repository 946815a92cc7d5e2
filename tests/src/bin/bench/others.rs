//! Events of quiet entities at a steady rate, and how long each waits for its handler.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hdrhistogram::Histogram;
use ordered_consumer::{
    Event, HandlerError,
    in_memory_broker::{InMemoryBroker, NewEvent},
};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::rig;

const ENTITIES: usize = 1_000;
/// Events come in so many ticks a second.
const TICKS: u32 = 200;

/// The quiet entities, beside whatever else a benchmark does.
pub(crate) struct Others {
    base: Instant,
    latency_micros: Mutex<Histogram<u64>>,
}

impl Others {
    pub(crate) fn new() -> anyhow::Result<Self> {
        // With bounds: one that grows by itself takes what is over its present bound for nearly nothing.
        let latency_micros = Mutex::new(Histogram::new_with_bounds(1, 600_000_000, 3)?);
        Ok(Self { base: Instant::now(), latency_micros })
    }

    /// The handler has one of them: records how long it was on its way.
    pub(crate) fn arrived(&self, event: &Event) -> Result<(), HandlerError> {
        let sent = event.payload().and_then(|payload| payload.as_ref().try_into().ok());
        let sent = Duration::from_nanos(u64::from_be_bytes(sent.unwrap_or_default()));
        let micros = u64::try_from(self.base.elapsed().saturating_sub(sent).as_micros())?;
        self.latency_micros.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
        Ok(())
    }

    /// What was recorded since the last call: the median and the 99th percentile, in microseconds.
    pub(crate) fn latency(&self) -> (f64, f64) {
        let mut recorded = self.latency_micros.lock().unwrap_or_else(PoisonError::into_inner);
        let quantile = |share| recorded.value_at_quantile(share) as f64;
        let latency = (quantile(0.5), quantile(0.99));
        recorded.reset();
        latency
    }

    /// Publishes at a steady rate, whatever becomes of it.
    pub(crate) async fn publish(&self, broker: &InMemoryBroker, per_second: u32) -> anyhow::Result<()> {
        let mut ticks = interval(Duration::from_secs(1) / TICKS);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut next = 0;
        loop {
            ticks.tick().await;
            for _ in 0..per_second / TICKS {
                let sent = u64::try_from(self.base.elapsed().as_nanos())?.to_be_bytes().to_vec();
                broker
                    .publish_event(rig::TOPIC, NewEvent::new(rig::entity("other", next % ENTITIES), sent))?;
                next += 1;
            }
        }
    }
}
