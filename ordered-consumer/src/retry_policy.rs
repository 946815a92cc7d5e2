//! When a failed event is tried again, and when it is given up.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crate::{
    Event, FailureKind, HandlerError, ParkCause,
    gate::Next,
    retry_schedule::{DELAY_MAX, Schedule, jittered},
};

type Classify = dyn Fn(&(dyn Error + 'static)) -> FailureKind + Send + Sync;

/// When a failed event is tried again, and when its entity is parked. Cheap to clone.
///
/// A policy is a pure function of how often the event has been tried, how long ago it first failed, what kind of
/// failure it was, and the event itself (for the jitter): it gives the same answer after a restart and in every process.
///
/// Attempts come in two ways. The first one, and the [`immediate`](Self::immediate) ones after it, are made *in
/// place*, one right after the other, while the event has its entity's turn; nothing is written to the failure log
/// between them. After that the event is logged, the entity's later events are held, and the *delayed* attempts follow.
///
/// Its [`Display`](std::fmt::Display) tells the schedule:
///
/// ```
/// # use std::time::Duration;
/// # use ordered_consumer::RetryPolicy;
/// assert_eq!(
///     RetryPolicy::default().to_string(),
///     "at once, 1 s, 2 s, 4 s, 8 s … up to 5 min, parks after 15 attempts in about 29 min",
/// );
/// let policy = RetryPolicy::fixed(Duration::from_secs(30)).attempts_max(3);
/// assert_eq!(policy.to_string(), "every 30 s, parks after 3 attempts in about 1 min");
/// ```
///
/// # Limits
///
/// No value is refused: what lies outside a limit is set to the nearest value inside it. Delays are at most 365 days.
#[derive(Clone)]
pub struct RetryPolicy {
    pub(crate) schedule: Schedule,
    pub(crate) immediate: u32,
    pub(crate) attempts_max: u32,
    pub(crate) age_max: Option<Duration>,
    pub(crate) max_delay: Duration,
    jitter_ppb: u32,
    classify: Option<Arc<Classify>>,
}

/// Attempts when nothing else is said: with the default schedule, they take about half an hour.
const ATTEMPTS_MAX_DEFAULT: u32 = 15;
/// Of a delay, in billionths: enough to spread entities that failed together, too little to surprise anybody.
const JITTER_PPB_DEFAULT: u32 = 100_000_000;
/// The least delay before something unavailable is tried again.
const PROBE_DELAY_MIN: Duration = Duration::from_secs(1);
/// The longest.
const PROBE_DELAY_MAX: Duration = Duration::from_secs(300);
/// Half of a delay, in billionths.
const JITTER_PPB_MAX: u32 = 500_000_000;

impl Default for RetryPolicy {
    /// One retry at once, then after 1 s, doubled each time up to 5 min; parks after 15 attempts, about 29 min.
    ///
    /// The retry at once heals what passes by itself (a lost connection, a deadlock) without touching the failure log.
    /// Half an hour outlasts what usually ends without anybody: a restart, a deployment, a database's fail-over. Then
    /// a person had better look. 5 min bound how long an entity goes on waiting once its cause has gone.
    fn default() -> Self {
        Self::exponential(Duration::from_secs(1), 2.0).immediate(1)
    }
}

impl RetryPolicy {
    fn with(schedule: Schedule) -> Self {
        Self {
            schedule,
            immediate: 0,
            attempts_max: ATTEMPTS_MAX_DEFAULT,
            age_max: None,
            max_delay: DELAY_MAX,
            jitter_ppb: JITTER_PPB_DEFAULT,
            classify: None,
        }
    }

    /// The same delay each time; 15 attempts, unless [`attempts_max`](Self::attempts_max) says otherwise.
    #[must_use]
    pub fn fixed(delay: Duration) -> Self {
        Self::with(Schedule::Exponential { first: delay, factor: 1.0 })
    }

    /// A delay that grows by `factor` (1 or more; 2 is usual) each time, up to 5 min unless
    /// [`max_delay`](Self::max_delay) says otherwise; 15 attempts, unless [`attempts_max`](Self::attempts_max) does.
    #[must_use]
    pub fn exponential(first: Duration, factor: f64) -> Self {
        // A factor that is not a number is as good as none.
        let factor = if factor > 1.0 { factor } else { 1.0 };
        Self::with(Schedule::Exponential { first, factor }).max_delay(Duration::from_secs(300).max(first))
    }

    /// A schedule of your own: from the number of attempts made so far, counted from 1, to the delay before the next
    /// one, or none to park.
    ///
    /// It must always answer the same, because it is asked again after a restart. It decides alone how many attempts
    /// there are, unless [`attempts_max`](Self::attempts_max) bounds it, and is not asked about
    /// [immediate](Self::immediate) ones. A panic in it parks.
    #[must_use]
    pub fn custom(delay: impl Fn(u32) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self::with(Schedule::Custom(Arc::new(delay))).unlimited_attempts()
    }

    /// No retries: the first failure parks.
    #[must_use]
    pub fn none() -> Self {
        Self::fixed(Duration::ZERO).attempts_max(1)
    }

    /// So many retries in place, at once, after the first attempt and before the delayed ones; 0 unless it is said.
    #[must_use]
    pub fn immediate(mut self, retries: u32) -> Self {
        self.immediate = retries;
        self
    }

    /// No delay is longer than this, before jitter; nor is one that a handler asks for by
    /// [`retry_after`](crate::retry_after).
    #[must_use]
    pub fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay.min(DELAY_MAX);
        self
    }

    /// Parks after so many attempts in all (1 or more), the first one and the immediate ones among them.
    #[must_use]
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts.max(1);
        self
    }

    /// Never parks because of the number of attempts.
    ///
    /// Think twice: an event that cannot be handled then holds its entity until an operator happens to look, and an
    /// event that kills its process does so again and again.
    #[must_use]
    pub fn unlimited_attempts(self) -> Self {
        self.attempts_max(u32::MAX)
    }

    /// Parks the entity when its event still fails so long after it first failed. The delay before that is cut short,
    /// so that a last attempt is made when the time is up.
    #[must_use]
    pub fn age_max(mut self, age: Duration) -> Self {
        self.age_max = Some(age);
        self
    }

    /// Lengthens or shortens each delay by up to this fraction of it (0 to 0.5; 0.1 unless it is said), so that
    /// entities that failed together do not come back together.
    ///
    /// It follows from stream, index and attempt, and is thus the same after a restart.
    #[must_use]
    pub fn jitter(mut self, fraction: f64) -> Self {
        // Not a number and below zero become zero; the nanoseconds of so many seconds are its billionths.
        let bounded = Duration::try_from_secs_f64(fraction.clamp(0.0, 0.5)).unwrap_or_default();
        self.jitter_ppb = bounded.subsec_nanos().min(JITTER_PPB_MAX);
        self
    }

    /// Decides for errors that do not say themselves what they call for, such as those of a handler that returns
    /// `anyhow::Result`. [`find_cause`](crate::find_cause) looks through an error's sources, anyhow's too.
    ///
    /// It is not asked about errors made by [`permanent`](crate::permanent()) and its siblings. A panic in it counts as
    /// [`FailureKind::Retry`].
    ///
    /// ```
    /// # use ordered_consumer::{FailureKind, RetryPolicy, find_cause};
    /// let policy = RetryPolicy::default().classify(|error| match find_cause::<std::num::ParseIntError>(error) {
    ///     Some(_) => FailureKind::Permanent,
    ///     None => FailureKind::Retry,
    /// });
    /// ```
    #[must_use]
    pub fn classify(
        mut self,
        classify: impl Fn(&(dyn Error + 'static)) -> FailureKind + Send + Sync + 'static,
    ) -> Self {
        self.classify = Some(Arc::new(classify));
        self
    }

    /// How many attempts are made in place at most, the first one among them; 1 or more.
    #[must_use]
    pub fn immediate_attempts(&self) -> u32 {
        self.immediate.saturating_add(1).min(self.attempts_max)
    }

    /// After how many attempts in all it parks; [`u32::MAX`] when their number is unlimited. A
    /// [custom](Self::custom) schedule is asked for its end, up to its thousandth delay.
    ///
    /// Runs that are lost, perhaps because the event kills its process, park by this number alone.
    #[must_use]
    pub fn attempts_limit(&self) -> u32 {
        self.whole().map_or(self.attempts_max, |(attempts, _)| attempts)
    }

    /// What the error calls for: what it says itself, or else what [`classify`](Self::classify) says.
    #[must_use]
    pub fn kind_of(&self, error: &HandlerError) -> FailureKind {
        match (error.kind(), &self.classify) {
            (FailureKind::Retry, Some(classify)) => {
                // The user's function must not take the engine down with it.
                catch_unwind(AssertUnwindSafe(|| classify(error.error()))).unwrap_or(FailureKind::Retry)
            }
            (kind, _) => kind,
        }
    }

    /// Whether the event is tried again at once, in place, after so many attempts (counted from 1) of which the last
    /// failed like this.
    #[must_use]
    pub fn retries_in_place(&self, attempts: u32, kind: FailureKind) -> bool {
        kind == FailureKind::Retry && attempts < self.immediate_attempts()
    }

    /// What follows a failure.
    ///
    /// `attempts` counts those made on the event so far, from 1, and `age` is how long ago it first failed. The other
    /// two kinds are the engine's: [`Ignore`](FailureKind::Ignore) should never be asked about, and parks lest the
    /// event be lost; [`Unavailable`](FailureKind::Unavailable) never parks, and is told when to probe: as the schedule
    /// says, but not before 1 s and not later than 5 min, before jitter.
    #[must_use]
    pub fn next(&self, event: &Event, attempts: u32, age: Duration, kind: FailureKind) -> Next {
        let attempts = attempts.max(1);
        let delay = match kind {
            FailureKind::Permanent | FailureKind::Ignore => return Next::Park(ParkCause::Permanent),
            FailureKind::Unavailable => {
                // These attempts are not counted: without a least delay, the probes would never end nor pause.
                let delay = self.delay(attempts).unwrap_or(PROBE_DELAY_MAX);
                let delay = delay.clamp(PROBE_DELAY_MIN, PROBE_DELAY_MAX);
                return Next::Retry(jittered(delay, self.jitter_ppb, event, attempts));
            }
            FailureKind::Retry | FailureKind::RetryAfter(_) if self.is_used_up(attempts, age) => None,
            FailureKind::RetryAfter(delay) => Some(delay.min(self.max_delay)),
            FailureKind::Retry => {
                self.delay(attempts).map(|delay| jittered(delay, self.jitter_ppb, event, attempts))
            }
        };
        // What is left of the event's time bounds the delay, so that one attempt is made when it is up.
        let left = self.age_max.map_or(Duration::MAX, |age_max| age_max.saturating_sub(age));
        delay.map_or(Next::Park(ParkCause::Exhausted), |delay| Next::Retry(delay.min(left)))
    }

    pub(crate) fn is_used_up(&self, attempts: u32, age: Duration) -> bool {
        let is_unlimited = self.attempts_max == u32::MAX;
        (attempts >= self.attempts_max && !is_unlimited) || self.age_max.is_some_and(|age_max| age >= age_max)
    }

    /// The delay after so many attempts, before jitter.
    pub(crate) fn delay(&self, attempts: u32) -> Option<Duration> {
        match attempts.checked_sub(self.immediate) {
            None | Some(0) => Some(Duration::ZERO),
            Some(nth) => self.schedule.delay(nth, attempts).map(|delay| delay.min(self.max_delay)),
        }
    }
}

#[cfg(test)]
mod tests;
