//! Lines of the audit that are old are dropped, a few at a time.

use std::time::Duration;

use tokio::sync::watch;

use super::{Ended, Stopping};
use crate::engine::core::Core;

/// Between two looks for old lines. The audit grows with what operators do and with what handlers ignore.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Before the first look, so that a start has nothing else to do.
pub(super) const SWEEP_FIRST: Duration = Duration::from_secs(60);
/// Lines dropped in one transaction.
const LINES: u32 = 1_000;
/// Transactions of one sweep; what is left is dropped by the next one.
const TRANSACTIONS: u32 = 1_000;

pub(super) async fn sweep<H: crate::Handler>(core: &Core<H>, stopping: &watch::Receiver<Stopping>) -> Ended {
    for _ in 0..TRANSACTIONS {
        if *stopping.borrow() != Stopping::No {
            break;
        }
        match core.log.drop_audit(&core.name, core.timeouts.audit_retention, LINES).await {
            Ok(dropped) if dropped >= u64::from(LINES) => tokio::task::yield_now().await,
            Ok(_) => break,
            Err(error) => {
                let error = crate::error_text(&error);
                tracing::warn!(consumer = %core.name, error, "old lines of the audit cannot be dropped, which is tried again later");
                break;
            }
        }
    }
    Ended::Swept
}
