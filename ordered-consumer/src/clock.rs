//! What time it is, for a failure log.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use crate::Timestamp;

/// Where a failure log that keeps its own time takes it from.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Tokio { start: Timestamp, instant: tokio::time::Instant },
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The system's clock: it may step, and every rule of the protocol bears that.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// Tokio's clock, which tests can pause; it starts now, and never steps.
    #[must_use]
    pub fn tokio() -> Self {
        Self(Source::Tokio { start: SystemTime::now().into(), instant: tokio::time::Instant::now() })
    }

    /// A clock that only moves when it is told to, for tests. Clones share it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.as_micros()))))
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => SystemTime::now().into(),
            Source::Tokio { start, instant } => start.plus(instant.elapsed()),
            Source::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock forward; any other clock is left as it is.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(micros) = &self.0 {
            micros.store(self.now().plus(by).as_micros(), Ordering::SeqCst);
        }
    }

    /// Steps a manual clock back; any other clock is left as it is.
    pub fn step_back(&self, by: Duration) {
        if let Source::Manual(micros) = &self.0 {
            micros.store(self.now().minus(by).as_micros(), Ordering::SeqCst);
        }
    }
}
