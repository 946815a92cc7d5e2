//! A stream whose handler says that what it needs is unavailable: one event probes, the others wait.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{sync::Mutex, time::sleep};

use crate::telemetry::Level;

const WAIT_MIN: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(30);

/// Odd while an outage lasts; every beginning and end adds one.
pub(crate) struct Outage {
    shown: Level,
    epoch: AtomicU64,
    probe: Mutex<Duration>,
}

impl Outage {
    pub(crate) fn new(shown: Level) -> Self {
        Self { shown, epoch: AtomicU64::new(0), probe: Mutex::default() }
    }

    pub(crate) fn lasts(&self) -> bool {
        !self.epoch.load(Ordering::Acquire).is_multiple_of(2)
    }

    /// A handler said `unavailable`. Returns whether an outage begins with it.
    pub(crate) fn begin(&self) -> bool {
        let epoch = self.epoch.load(Ordering::Acquire);
        let begins = epoch.is_multiple_of(2)
            && self.epoch.compare_exchange(epoch, epoch + 1, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if begins {
            self.shown.set(2);
        }
        begins
    }

    /// A handler ended in another way. Returns whether an outage ends with it.
    pub(crate) fn end(&self) -> bool {
        let epoch = self.epoch.load(Ordering::Acquire);
        let ends = !epoch.is_multiple_of(2)
            && self.epoch.compare_exchange(epoch, epoch + 1, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if ends {
            self.shown.set(0);
        }
        ends
    }

    /// Waits for this event's turn to be tried again: at once when the outage is over, else alone and with backoff.
    /// Cancel safe. The guard is held while the handler probes.
    pub(crate) async fn wait_to_probe(&self) -> Option<tokio::sync::MutexGuard<'_, Duration>> {
        let mut wait = self.probe.lock().await;
        if !self.lasts() {
            *wait = Duration::ZERO;
            return None;
        }
        *wait = (*wait * 2).clamp(WAIT_MIN, WAIT_MAX);
        sleep(*wait).await;
        Some(wait)
    }
}
