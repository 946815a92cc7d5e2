//! Makes a call to the failure log until its outcome is known.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{ConsumerName, FailureLogError, engine::known_streams::KnownStreams};

const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How often a failure log that stays away is reported.
const REPORT_EVERY: Duration = Duration::from_secs(30);

/// Calls again for as long as the log is unavailable or the outcome unknown, with backoff. Every call to the log is
/// idempotent, so that asking again is finding out.
pub(crate) async fn persist<T, F: Future<Output = Result<T, FailureLogError>>>(
    consumer: &ConsumerName,
    streams: &KnownStreams,
    doing: &'static str,
    mut call: impl FnMut() -> F,
) -> Result<T, FailureLogError> {
    let (mut wait, mut reported) = (WAIT_MIN, None::<Instant>);
    loop {
        let error = match call().await {
            Err(error) if error.is_transient() => error,
            known => {
                if reported.is_some() {
                    tracing::info!(%consumer, doing, "the failure log is available again");
                }
                return known;
            }
        };
        streams.log_retries.add(1);
        if reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            reported = Some(Instant::now());
            tracing::warn!(%consumer, doing, error = crate::error_text(&error), "the failure log is asked again");
        }
        sleep(wait).await;
        wait = (wait * 2).min(WAIT_MAX);
    }
}
