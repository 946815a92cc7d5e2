//! A handler that keeps the whole events that it was given.

use std::sync::{Arc, Mutex, PoisonError};

use ordered_consumer::{Event, Handler, HandlerError};

/// Fails the first attempts on every event, and keeps every event that it was given. Clones share what is kept.
#[derive(Clone, Debug, Default)]
pub struct Keeper {
    failing_attempts: u32,
    kept: Arc<Mutex<Vec<(Event, bool)>>>,
}

impl Keeper {
    /// A handler whose first so many attempts on each event fail.
    #[must_use]
    pub fn failing(failing_attempts: u32) -> Self {
        Self { failing_attempts, ..Self::default() }
    }

    /// The events of the runs that succeeded, in their order.
    #[must_use]
    pub fn handled(&self) -> Vec<Event> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|(_, succeeded)| *succeeded).map(|(event, _)| event.clone()).collect()
    }

    /// How many runs there were.
    #[must_use]
    pub fn runs(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Handler for Keeper {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let succeeds = event.context().attempt > self.failing_attempts;
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push((event, succeeds));
        if succeeds { Ok(()) } else { Err("as the test says".into()) }
    }
}
