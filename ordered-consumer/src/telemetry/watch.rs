//! What is held in all, looked at for those who have a consume loop of their own: nobody else does it for them.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{Handler, engine::core::Core};

/// Looks again and again, but spends at most a hundredth of its time so. Never ends.
pub(crate) async fn watch_totals<H: Handler>(core: &Core<H>) {
    loop {
        let asked = Instant::now();
        // One that fails is counted as a failed call, and is made again.
        drop(core.log.totals(&core.name).await);
        sleep(core.timeouts.refresh.max(asked.elapsed() * 100).max(Duration::from_millis(1))).await;
    }
}
