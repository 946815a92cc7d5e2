//! Counts events as handlers end, and takes the time between two of them.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use tokio::{sync::watch, time::Instant};

/// The clock starts with one event and stops with a later one, whoever handles them.
pub(crate) struct Meter {
    first: usize,
    last: usize,
    count: AtomicUsize,
    times: Mutex<(Option<Instant>, Option<Instant>)>,
    done: watch::Sender<bool>,
}

impl Meter {
    /// The clock starts when so many events are handled, and stops at `last`.
    pub(crate) fn new(first: usize, last: usize) -> Self {
        Self {
            first: first.max(1),
            last,
            count: AtomicUsize::new(0),
            times: Mutex::default(),
            done: watch::Sender::new(false),
        }
    }

    /// One more event is handled; says whether it was the last.
    pub(crate) fn hit(&self) -> bool {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count == self.first {
            self.times.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(Instant::now());
        }
        if count == self.last {
            self.times.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(Instant::now());
            self.done.send_replace(true);
        }
        count >= self.last
    }

    /// Waits for the last event.
    pub(crate) async fn done(&self) {
        // The sender lives as long as the meter does, so that there is no error.
        drop(self.done.subscribe().wait_for(|done| *done).await);
    }

    /// Events between the two.
    pub(crate) fn events(&self) -> f64 {
        (self.last - self.first) as f64
    }

    /// The time between the two.
    pub(crate) fn elapsed(&self) -> anyhow::Result<Duration> {
        let times = *self.times.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = times else {
            anyhow::bail!("{} of {} events were handled", self.count.load(Ordering::Relaxed), self.last);
        };
        last.checked_duration_since(first).context("the clock ran backwards")
    }

    /// Events a second.
    pub(crate) fn rate(&self) -> anyhow::Result<f64> {
        Ok(self.events() / self.elapsed()?.as_secs_f64())
    }
}
