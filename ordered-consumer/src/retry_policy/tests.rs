//! What a retry policy promises.

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
    assert_eq!((policy.immediate_attempts(), policy.attempts_limit()), (2, 15));
    assert_eq!(next(&policy, 15), Next::Park(ParkCause::Exhausted));
    assert_eq!(next(&policy, u32::MAX), Next::Park(ParkCause::Exhausted));
}

#[test]
fn a_policy_without_retries_parks_at_once() {
    assert_eq!(next(&RetryPolicy::none(), 1), Next::Park(ParkCause::Exhausted));
    assert!(!RetryPolicy::none().immediate(3).retries_in_place(1, FailureKind::Retry));
    assert_eq!(RetryPolicy::none().immediate(3).immediate_attempts(), 1);
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
    assert_eq!(
        RetryPolicy::default().jitter(0.0).next(&event(1), 1, Duration::ZERO, FailureKind::Unavailable),
        Next::Retry(SECOND),
        "an attempt that is not counted is not repeated at once"
    );
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
    assert_eq!(policy.attempts_limit(), 100, "a run that is lost parks by the schedule's own end");
    let bounded = policy.attempts_max(5);
    assert_eq!((next(&bounded, 5), bounded.attempts_limit()), (Next::Park(ParkCause::Exhausted), 5));
}

#[test]
fn unlimited_attempts_never_park() {
    let policy = RetryPolicy::exponential(SECOND, 2.0).unlimited_attempts().jitter(0.0);
    assert_eq!(next(&policy, u32::MAX), Next::Retry(SECOND * 300));
    assert_eq!(policy.attempts_limit(), u32::MAX);
    assert_eq!(RetryPolicy::custom(|_| Some(SECOND)).attempts_limit(), u32::MAX);
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
            let is_probe = kind == FailureKind::Unavailable;
            let longest = if is_probe { PROBE_DELAY_MAX } else { policy.max_delay }.as_nanos();
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
