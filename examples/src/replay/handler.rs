//! The handler: takes its time, fails when it is told to, and writes down what it did.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use ordered_consumer::{Event, Handler, HandlerError, permanent};

use super::{EventLog, Faults, Record, faults::delay_ms};

/// The handler of one life of the consumer.
pub(super) struct ReplayHandler {
    pub(super) log: Arc<EventLog>,
    pub(super) faults: Arc<Faults>,
    pub(super) record: Arc<Record>,
    pub(super) seed: u64,
    pub(super) life: u32,
    /// How long a run takes at most, beside what the machine adds.
    pub(super) run_ms_max: usize,
}

impl Handler for ReplayHandler {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let row = row_of(&event).map_err(permanent)?;
        let context = event.context();
        let running = self.record.begin(row, context.attempt, context.redelivered, self.life);

        // Runs overlap, and end in another order than they began in, so that a crash finds some of them half done.
        let millis = delay_ms(self.seed, row, context.attempt, self.run_ms_max);
        if millis == 0 {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }

        let fails = self.faults.fails(row, self.log.events[row].entity, context.attempt);
        running.end(!fails);
        if fails {
            return Err(anyhow!("attempt {} on row {row} was drawn to fail", context.attempt).into());
        }
        Ok(())
    }
}

/// The row that an event was made of: its id says so.
pub(super) fn row_of(event: &Event) -> anyhow::Result<usize> {
    let id = event.id().context("an event of the replay has its row for an id")?;
    Ok(std::str::from_utf8(id)?.parse()?)
}
