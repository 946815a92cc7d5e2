//! What counts and measures: each is counted once, and read by [`Stats`](crate::Stats) and by metrics alike.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use metrics::{IntoF64, Label};
use tokio::time::Instant;

use super::names::Metric;

/// A counter, which may be told later where it is recorded to.
#[derive(Default)]
pub(crate) struct Counter {
    value: AtomicU64,
    metric: OnceLock<metrics::Counter>,
}

impl Counter {
    pub(super) fn bound(metric: &Metric, labels: Vec<Label>) -> Self {
        let counter = Self::default();
        counter.bind(metric, labels);
        counter
    }

    pub(super) fn bind(&self, metric: &Metric, labels: Vec<Label>) {
        self.metric.get_or_init(|| metrics::counter!(metric.name, labels));
    }

    pub(crate) fn add(&self, more: u64) {
        self.value.fetch_add(more, Ordering::Relaxed);
        if let Some(metric) = self.metric.get() {
            metric.increment(more);
        }
    }

    pub(crate) fn get(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.get())
    }
}

/// A stream's part of a gauge: where streams are not told apart, the gauge shows the sum.
pub(crate) struct Level {
    value: AtomicI64,
    gauge: metrics::Gauge,
}

impl Level {
    pub(super) fn bound(metric: &Metric, labels: Vec<Label>) -> Self {
        let gauge = metrics::gauge!(metric.name, labels);
        // So that it is there, and says that there is nothing.
        gauge.increment(0);
        Self { value: AtomicI64::new(0), gauge }
    }

    pub(crate) fn set(&self, value: usize) {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        let before = self.value.swap(value, Ordering::Relaxed);
        if value != before {
            self.gauge.increment((value - before) as f64);
        }
    }
}

/// A value that is only reckoned if somebody records it.
pub(crate) struct Lazy<F>(pub(crate) F);

impl<F: FnOnce() -> f64> IntoF64 for Lazy<F> {
    fn into_f64(self) -> f64 {
        (self.0)()
    }
}

/// Seconds since then; the clock is only read if somebody records them.
pub(crate) fn since(began: Instant) -> impl IntoF64 {
    Lazy(move || began.elapsed().as_secs_f64())
}
