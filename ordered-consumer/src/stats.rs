//! What a consumer has counted.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Outcome;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What a consumer of this process has counted since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$doc])* pub $name: u64),+
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter),+
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.get()),+ }
            }
        }
    };
}

counters! {
    /// Events of the main stream whose handler succeeded at once.
    handled,
    /// Runs of handlers that failed, of any event.
    failed,
    /// Events of the main stream that failed and were logged, to be tried again.
    retry_scheduled,
    /// Events held behind an earlier one of their entity.
    held,
    /// Events logged without having run, because their last run may have killed a process.
    suspects,
    /// Times that an entity was parked.
    parked,
    /// Events that were done with already when they came.
    duplicates,
    /// Events that their handler asked to be ignored.
    ignored,
    /// Runs under a claim: retries, and held events on their way back.
    retried,
    /// Logged events whose run under a claim succeeded.
    resolved,
    /// Events published to the retry stream.
    published,
    /// Results that did not count, because their claim was gone.
    claims_lost,
    /// Writes refused because a stream was not this process's any more.
    fenced,
    /// Times that a handler was found to block its thread.
    blocked,
    /// Times that a stream waited for a limit on what is held.
    limited,
    /// Times that a stream paused because a handler said that what it needs is unavailable.
    outages,
    /// Streams that stopped because of an event, or because they are not what they were.
    stopped,
    /// Calls to the failure log that were made again because it was unavailable or their outcome was unknown.
    log_retries,
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// Counts an event of the main stream by what became of it.
    pub(crate) fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Handled => &self.handled,
            Outcome::RetryScheduled { .. } => &self.retry_scheduled,
            Outcome::Held => &self.held,
            Outcome::Suspect => &self.suspects,
            Outcome::Parked(_) => &self.parked,
            Outcome::Duplicate => &self.duplicates,
            Outcome::Ignored => &self.ignored,
        };
        counter.add(1);
    }
}
