//! How large a record a topic takes.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{KafkaConfig, admin::Admin};

/// Between two looks, because the limit may be changed.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// After the first look that failed; doubled each time, up to the usual.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How long a look may take; a publish waits for the first, so it is short.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Default)]
struct Known {
    bytes_max: Option<usize>,
    /// None before the first look has ended.
    look_at: Option<Instant>,
    /// Looks that failed, one after the other.
    failed: u32,
}

/// A topic's `max.message.bytes`, looked up when it is first asked for, and again every few minutes.
pub(crate) struct TopicSizes {
    config: KafkaConfig,
    topic: String,
    known: Mutex<Known>,
    looking: tokio::sync::Mutex<()>,
}

impl TopicSizes {
    pub(crate) fn new(config: KafkaConfig, topic: String) -> Self {
        Self { config, topic, known: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    /// The limit; none when the broker does not tell, so that sending shows it.
    pub(crate) async fn bytes_max(&self) -> Option<usize> {
        let known = self.known();
        match known.look_at {
            Some(at) if Instant::now() < at => known.bytes_max,
            // One looks, the others go by what was known.
            Some(_) => match self.looking.try_lock() {
                Ok(_looking) => self.look().await,
                Err(_) => known.bytes_max,
            },
            None => {
                let _looking = self.looking.lock().await;
                let known = self.known();
                if known.look_at.is_some() { known.bytes_max } else { self.look().await }
            }
        }
    }

    /// A record was refused for its size: the limit may have changed.
    pub(crate) fn doubt(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Not at once, or a burst of large records would ask once each.
        let soon = Instant::now() + Duration::from_secs(1);
        known.look_at = known.look_at.map(|at| at.min(soon));
    }

    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn look(&self) -> Option<usize> {
        let asked = match Admin::new(&self.config, PATIENCE) {
            Ok(admin) => admin.bytes_max(&self.topic).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match asked {
            Ok(told) => {
                (known.bytes_max, known.failed) = (told, 0);
                LOOK_EVERY
            }
            Err(error) => {
                tracing::debug!(
                    topic = self.topic,
                    error,
                    "the broker does not tell how large a record the topic takes; sending shows it"
                );
                known.failed = known.failed.saturating_add(1);
                LOOK_AGAIN.saturating_mul(1 << known.failed.min(10)).min(LOOK_EVERY)
            }
        };
        known.look_at = Some(Instant::now() + next);
        known.bytes_max
    }
}
