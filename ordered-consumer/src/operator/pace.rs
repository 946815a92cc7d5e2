//! How fast many entities are retried.

use std::time::Duration;

/// How fast [`retry_all`](crate::Operator::retry_all) goes, and when it gives up.
///
/// It begins slowly and doubles its rate step by step, but only while what it has retried before succeeds: into a
/// downstream that is still broken it never gets fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Entities per second at first. At least 1; 10 unless changed.
    pub first_per_second: u32,
    /// Entities per second at most. At least 1; 500 unless changed.
    pub max_per_second: u32,
    /// How long it goes at one rate before it doubles it. 5 s unless changed.
    pub double_every: Duration,
    /// Of those that were looked at again, the share that may have failed again, in percent: above it the call stops.
    /// From 100 on nothing is looked at, and the rate doubles with time alone. 20 unless changed.
    pub failed_percent_max: u32,
    /// How many must be known to have succeeded or failed before the share counts, and before the rate is doubled for
    /// the first time. At least 1; 20 unless changed.
    pub known_min: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_per_second: 10,
            max_per_second: 500,
            double_every: Duration::from_secs(5),
            failed_percent_max: 20,
            known_min: 20,
        }
    }
}

impl Pace {
    /// The rate to begin with.
    pub(super) fn first(&self) -> u32 {
        self.first_per_second.clamp(1, self.max_per_second.max(1))
    }

    /// The rate after this one.
    pub(super) fn doubled(&self, per_second: u32) -> u32 {
        per_second.saturating_mul(2).min(self.max_per_second.max(1))
    }

    /// Whether what was retried is looked at again.
    pub(super) fn looks_back(&self) -> bool {
        self.failed_percent_max < 100
    }
}
