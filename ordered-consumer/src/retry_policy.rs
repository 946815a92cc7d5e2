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

    /// How many retries are made in place, at once, after the first attempt.
    #[must_use]
    pub fn immediate_attempts(&self) -> u32 {
        self.immediate
    }

    /// After how many attempts in all it parks; [`u32::MAX`] when their number is unlimited.
    #[must_use]
    pub fn attempts_limit(&self) -> u32 {
        self.attempts_max
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
        kind == FailureKind::Retry && attempts <= self.immediate && attempts < self.attempts_max
    }

    /// What follows a failure.
    ///
    /// `attempts` counts those made on the event so far, from 1, and `age` is how long ago it first failed. The other
    /// two kinds are the engine's: [`Ignore`](FailureKind::Ignore) should never be asked about, and parks lest the
    /// event be lost; [`Unavailable`](FailureKind::Unavailable) gets the delay of the schedule and never parks.
    #[must_use]
    pub fn next(&self, event: &Event, attempts: u32, age: Duration, kind: FailureKind) -> Next {
        let attempts = attempts.max(1);
        let delay = match kind {
            FailureKind::Permanent | FailureKind::Ignore => return Next::Park(ParkCause::Permanent),
            FailureKind::Unavailable => {
                let delay = self.delay(attempts).unwrap_or(self.max_delay);
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
mod tests {
    use anyhow::Context as _;
    use proptest::prelude::*;

    use super::*;
    use crate::{Index, StreamName, ignore, permanent, unavailable};

    const SECOND: Duration = Duration::from_secs(1);

    fn event(index: u128) -> Event {
        Event::builder(StreamName::new("orders/0").unwrap(), Index::new(index), "e").build()
    }

    fn next(policy: &RetryPolicy, attempts: u32) -> Next {
        policy.next(&event(1), attempts, Duration::ZERO, FailureKind::Retry)
    }

    #[test]
    fn the_default_retries_once_at_once_then_doubles_to_five_minutes_and_parks() {
        let policy = RetryPolicy::default().jitter(0.0);
        let delays = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300, 300];
        for (attempts, seconds) in (1..).zip(delays) {
            assert_eq!(next(&policy, attempts), Next::Retry(SECOND * seconds), "after {attempts}");
            assert_eq!(policy.retries_in_place(attempts, FailureKind::Retry), attempts == 1);
        }
        assert_eq!(policy.attempts_limit(), 15);
        assert_eq!(next(&policy, 15), Next::Park(ParkCause::Exhausted));
        assert_eq!(next(&policy, u32::MAX), Next::Park(ParkCause::Exhausted));
    }

    #[test]
    fn a_policy_without_retries_parks_at_once() {
        assert_eq!(next(&RetryPolicy::none(), 1), Next::Park(ParkCause::Exhausted));
        assert!(!RetryPolicy::none().immediate(3).retries_in_place(1, FailureKind::Retry));
    }

    #[test]
    fn each_kind_of_failure_leads_to_what_it_calls_for() {
        let policy = RetryPolicy::fixed(SECOND).jitter(0.0).max_delay(SECOND * 60).attempts_max(3);
        let next = |attempts, kind| policy.next(&event(1), attempts, Duration::ZERO, kind);
        assert_eq!(next(1, FailureKind::Permanent), Next::Park(ParkCause::Permanent));
        assert_eq!(next(1, FailureKind::RetryAfter(SECOND * 7)), Next::Retry(SECOND * 7));
        assert_eq!(next(1, FailureKind::RetryAfter(Duration::MAX)), Next::Retry(SECOND * 60), "it is cut");
        assert_eq!(next(3, FailureKind::RetryAfter(SECOND)), Next::Park(ParkCause::Exhausted), "it counts");
        assert_eq!(next(9, FailureKind::Unavailable), Next::Retry(SECOND), "it does not count");
        let in_place = [FailureKind::Permanent, FailureKind::RetryAfter(SECOND), FailureKind::Unavailable];
        assert!(in_place.iter().all(|kind| !policy.clone().immediate(9).retries_in_place(1, *kind)));
    }

    #[test]
    fn a_last_attempt_is_made_when_the_time_is_up_and_then_it_parks() {
        let policy = RetryPolicy::fixed(SECOND * 10).jitter(0.0).age_max(SECOND * 25);
        let next = |age| policy.next(&event(1), 2, age, FailureKind::Retry);
        assert_eq!(next(SECOND * 10), Next::Retry(SECOND * 10));
        assert_eq!(next(SECOND * 20), Next::Retry(SECOND * 5));
        assert_eq!(next(SECOND * 25), Next::Park(ParkCause::Exhausted));
        assert_eq!(next(Duration::MAX), Next::Park(ParkCause::Exhausted));
    }

    #[test]
    fn a_schedule_of_ones_own_decides_alone_and_a_panic_in_it_parks() {
        let policy = RetryPolicy::custom(|attempts| match attempts {
            100 => None,
            101 => panic!("a bug"),
            attempts => Some(SECOND * attempts),
        });
        let policy = policy.jitter(0.0);
        assert_eq!(next(&policy, 99), Next::Retry(SECOND * 99));
        assert_eq!(next(&policy, 100), Next::Park(ParkCause::Exhausted));
        assert_eq!(next(&policy, 101), Next::Park(ParkCause::Exhausted));
        assert_eq!(next(&policy.attempts_max(5), 5), Next::Park(ParkCause::Exhausted));
    }

    #[test]
    fn unlimited_attempts_never_park() {
        let policy = RetryPolicy::exponential(SECOND, 2.0).unlimited_attempts().jitter(0.0);
        assert_eq!(next(&policy, u32::MAX), Next::Retry(SECOND * 300));
    }

    #[test]
    fn classify_decides_for_errors_that_do_not_say_and_finds_them_inside_of_anyhows() {
        #[derive(Debug, thiserror::Error)]
        #[error("declined")]
        struct Declined;
        let policy = RetryPolicy::default().classify(|error| match crate::find_cause::<Declined>(error) {
            Some(Declined) => FailureKind::Permanent,
            None if error.to_string() == "bug" => panic!("a bug"),
            None => FailureKind::Retry,
        });
        let wrapped = Err::<(), _>(Declined).context("charging").unwrap_err();
        assert_eq!(policy.kind_of(&anyhow::Error::new(Declined).into()), FailureKind::Permanent);
        assert_eq!(policy.kind_of(&wrapped.into()), FailureKind::Permanent);
        assert_eq!(policy.kind_of(&anyhow::anyhow!("else").into()), FailureKind::Retry);
        assert_eq!(policy.kind_of(&"bug".into()), FailureKind::Retry, "a panic is not passed on");
        assert_eq!(policy.kind_of(&ignore(Declined)), FailureKind::Ignore);
        assert_eq!(policy.kind_of(&unavailable(Declined)), FailureKind::Unavailable);
        assert_eq!(RetryPolicy::default().kind_of(&permanent("p")), FailureKind::Permanent);
    }

    #[test]
    fn jitter_is_the_same_in_every_process_and_differs_between_events_and_attempts() {
        let policy = RetryPolicy::fixed(SECOND * 100).jitter(0.2);
        let delay = |index, attempts| match policy.next(&event(index), attempts, SECOND, FailureKind::Retry) {
            Next::Retry(delay) => delay,
            Next::Park(cause) => panic!("{cause:?}"),
        };
        // A change of this value changes every schedule that is under way.
        assert_eq!(delay(1, 1), Duration::from_nanos(90_314_857_398));
        assert_ne!(delay(1, 1), delay(1, 2));
        assert_ne!(delay(1, 1), delay(2, 1));
        let delays: Vec<_> = (0..1_000).map(|index| delay(index, 1)).collect();
        assert!(delays.iter().all(|delay| (SECOND * 80..=SECOND * 120).contains(delay)));
        assert!(delays.iter().any(|delay| *delay < SECOND * 84) && delays.iter().any(|d| *d > SECOND * 116));
    }

    #[test]
    fn values_outside_of_their_limits_are_set_to_the_nearest_inside() {
        let spread = |jitter| RetryPolicy::fixed(SECOND).jitter(jitter).jitter_ppb;
        assert_eq!(
            [-1.0, f64::NAN, 0.3, 7.0, f64::INFINITY].map(spread),
            [0, 0, 300_000_000, JITTER_PPB_MAX, JITTER_PPB_MAX]
        );
        for factor in [0.5, -3.0, f64::NAN, f64::NEG_INFINITY] {
            let policy = RetryPolicy::exponential(SECOND, factor).jitter(0.0);
            assert_eq!(next(&policy, 5), Next::Retry(SECOND), "{factor}");
        }
        let policy = RetryPolicy::exponential(SECOND, f64::INFINITY).jitter(0.0);
        assert_eq!(next(&policy, 2), Next::Retry(SECOND * 300));
        assert_eq!(RetryPolicy::default().attempts_max(0).attempts_limit(), 1);
        let year = RetryPolicy::fixed(Duration::MAX).max_delay(Duration::MAX).jitter(0.0);
        assert_eq!(next(&year, 1), Next::Retry(DELAY_MAX));
    }

    fn durations() -> impl Strategy<Value = Duration> {
        prop_oneof![
            Just(Duration::ZERO),
            Just(Duration::MAX),
            (0..=u64::MAX).prop_map(Duration::from_nanos),
            (0..=u64::MAX).prop_map(Duration::from_secs),
        ]
    }

    fn numbers() -> impl Strategy<Value = u32> {
        prop_oneof![0..100_u32, Just(u32::MAX), any::<u32>()]
    }

    fn policies() -> impl Strategy<Value = RetryPolicy> {
        let schedules = prop_oneof![
            durations().prop_map(RetryPolicy::fixed),
            (durations(), any::<f64>()).prop_map(|(first, factor)| RetryPolicy::exponential(first, factor)),
            durations().prop_map(|delay| RetryPolicy::custom(move |_| Some(delay))),
        ];
        let limits = (durations(), prop::option::of(durations()), any::<f64>());
        (schedules, numbers(), numbers(), limits).prop_map(|(policy, immediate, attempts, limits)| {
            let (max_delay, age_max, jitter) = limits;
            let policy = policy.immediate(immediate).attempts_max(attempts).max_delay(max_delay);
            age_max.into_iter().fold(policy.jitter(jitter), RetryPolicy::age_max)
        })
    }

    fn kinds() -> impl Strategy<Value = FailureKind> {
        prop_oneof![
            Just(FailureKind::Retry),
            durations().prop_map(FailureKind::RetryAfter),
            Just(FailureKind::Unavailable)
        ]
    }

    proptest! {
        #[test]
        fn no_delay_is_longer_than_the_longest_and_its_jitter_whatever_the_numbers(
            policy in policies(), attempts in numbers(), age in durations(), kind in kinds(), index in any::<u128>(),
        ) {
            let answer = policy.next(&event(index), attempts, age, kind);
            if let Next::Retry(delay) = answer {
                let longest = policy.max_delay.as_nanos();
                let spread = longest * u128::from(policy.jitter_ppb) / 1_000_000_000;
                prop_assert!(delay.as_nanos() <= longest + spread, "{delay:?}");
            }
            prop_assert_eq!(policy.clone().next(&event(index), attempts, age, kind), answer);
        }

        #[test]
        fn delays_never_shrink_while_attempts_grow(
            first in durations(), factor in 1.01..4.0_f64, attempts in 1..u32::MAX,
        ) {
            let policy = RetryPolicy::exponential(first, factor).unlimited_attempts();
            prop_assert!(policy.delay(attempts) <= policy.delay(attempts + 1));
        }

        #[test]
        fn any_policy_tells_its_schedule_at_once(policy in policies()) {
            let told = policy.to_string();
            prop_assert!(told.contains("park") && told.len() < 200, "{told}");
        }
    }
}
