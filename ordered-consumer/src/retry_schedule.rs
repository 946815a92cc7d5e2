//! The delays of a retry policy: exact, saturating, the same in every process.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use xxhash_rust::xxh3::Xxh3;

use crate::Event;

/// No delay is longer: a year is more than anybody waits for, and far from every overflow.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long the delays are, before limits and jitter.
#[derive(Clone)]
pub(crate) enum Schedule {
    /// The first delay, then each time the factor more; a factor of 1 repeats it.
    Exponential {
        /// The first delay.
        first: Duration,
        /// Finite or not, 1 or more.
        factor: f64,
    },
    /// The user's own function of the attempts made so far.
    Custom(Arc<dyn Fn(u32) -> Option<Duration> + Send + Sync>),
}

impl Schedule {
    /// The `nth` delay, counted from 1, which comes after so many `attempts`; none parks.
    pub(crate) fn delay(&self, nth: u32, attempts: u32) -> Option<Duration> {
        let delay = match self {
            Self::Exponential { first, factor } => grown(*first, *factor, nth.saturating_sub(1)),
            // The user's function must not take the engine down with it; what it cannot answer, a person must.
            Self::Custom(delay) => catch_unwind(AssertUnwindSafe(|| delay(attempts))).ok().flatten()?,
        };
        Some(delay.min(DELAY_MAX))
    }

    /// Whether it is a function of the user's, of which nothing is known but its answers.
    pub(crate) fn is_custom(&self) -> bool {
        match self {
            Self::Exponential { .. } => false,
            Self::Custom(_) => true,
        }
    }

    /// Whether every delay after this one is as long, when none may be longer than `longest`.
    pub(crate) fn is_level_at(&self, delay: Duration, longest: Duration) -> bool {
        match self {
            Self::Exponential { first, factor } => delay >= longest || *factor <= 1.0 || first.is_zero(),
            Self::Custom(_) => false,
        }
    }
}

/// `first` × `factor` to the power of `times`; [`DELAY_MAX`] when that is too long to tell.
fn grown(first: Duration, factor: f64, times: u32) -> Duration {
    if first.is_zero() || times == 0 {
        return first;
    }
    let seconds = first.as_secs_f64() * power(factor, times);
    Duration::try_from_secs_f64(seconds).unwrap_or(DELAY_MAX)
}

/// Squares and multiplies, because `f64::powi` may give another last digit on another machine.
fn power(factor: f64, mut times: u32) -> f64 {
    let (mut result, mut square) = (1.0, factor);
    while times > 0 {
        if times % 2 == 1 {
            result *= square;
        }
        square *= square;
        times /= 2;
    }
    result
}

/// The delay, longer or shorter by at most so many billionths of itself: by how much follows from the event's place
/// and the attempt, by a hash that is the same in every process and version.
pub(crate) fn jittered(delay: Duration, jitter_ppb: u32, event: &Event, attempts: u32) -> Duration {
    if jitter_ppb == 0 || delay.is_zero() {
        return delay;
    }
    let mut hash = Xxh3::new();
    hash.update(event.stream().as_str().as_bytes());
    hash.update(&event.index().to_be_bytes());
    hash.update(&attempts.to_be_bytes());
    // At most 2^55 nanoseconds (a year) times 2^30 billionths, then times 2^64 of the hash: nothing overflows.
    let nanos = delay.min(DELAY_MAX).as_nanos();
    let spread = nanos * u128::from(jitter_ppb) / 1_000_000_000;
    let offset = (spread * 2 * u128::from(hash.digest())) >> 64;
    u64::try_from(nanos - spread + offset).map_or(DELAY_MAX, Duration::from_nanos)
}
