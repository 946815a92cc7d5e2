//! When the relay should look next, as far as this process knows.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

const FAR: Duration = Duration::from_secs(86_400);

/// The earliest known due time. Anybody may make it earlier; the relay waits for it.
#[derive(Debug)]
pub(crate) struct Due {
    start: OnceLock<Instant>,
    /// Microseconds after the start; the maximum when nothing is known to fall due.
    next: AtomicU64,
    earlier: Notify,
}

impl Default for Due {
    fn default() -> Self {
        Self { start: OnceLock::new(), next: AtomicU64::new(u64::MAX), earlier: Notify::new() }
    }
}

impl Due {
    fn start(&self) -> Instant {
        *self.start.get_or_init(Instant::now)
    }

    /// Something falls due in so long.
    pub(crate) fn hint(&self, after: Duration) {
        let at = self.start().elapsed().saturating_add(after);
        let at = u64::try_from(at.as_micros()).unwrap_or(u64::MAX);
        if self.next.fetch_min(at, Ordering::AcqRel) > at {
            self.earlier.notify_one();
        }
    }

    /// Waits until something is known to fall due, or for so long at most; what was known is forgotten. Cancel safe.
    pub(crate) async fn wait(&self, at_most: Duration) {
        let latest = Instant::now() + at_most.min(FAR);
        loop {
            let micros = self.next.load(Ordering::Acquire);
            let known = self.start().checked_add(Duration::from_micros(micros)).unwrap_or(latest);
            tokio::select! {
                () = tokio::time::sleep_until(known.min(latest)) => {
                    self.next.store(u64::MAX, Ordering::Release);
                    return;
                }
                () = self.earlier.notified() => {}
            }
        }
    }
}
