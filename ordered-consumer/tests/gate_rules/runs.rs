//! The relay's takes, and runs under claims.

use std::time::Duration;

use ordered_consumer::{
    ParkCause, Timestamp,
    gate::{Action, ClaimRefusal, Input, Reply, Resolved, Settings, Taken},
};

use crate::{
    RETRY,
    log::{Log, failure, index, settings, token},
};

#[test]
fn each_take_doubles_the_wait_until_something_comes_back() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    for (takes, wait) in (0_u32..).zip([10, 20, 40, 80]) {
        log.now = log.gate().due_at.unwrap();
        assert!(matches!(log.step(&Input::Take).reply, Reply::Taken(_)));
        assert_eq!(log.gate().due_at, Some(log.now.plus(Duration::from_secs(wait))), "after {takes} takes");
        assert_eq!(log.step(&Input::Take).reply, Reply::NotTaken { parked: None }, "the second relay");
    }
    log.claim(1, 1, 1);
    assert_eq!(log.gate().takes, 0);
}

#[test]
fn the_wait_saturates_at_an_hour_and_at_the_end_of_time() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    for (takes, now) in [(40, 5), (u32::MAX, 5), (u32::MAX, i64::MAX)] {
        let mut gate = log.gate();
        gate.takes = takes;
        gate.due_at = Some(Timestamp::from_micros(0));
        log.gate = Some(gate);
        log.now = Timestamp::from_micros(now);
        log.step(&Input::Take);
        let hour = log.now.plus(Duration::from_secs(3_600));
        assert_eq!((log.gate().due_at, log.gate().takes), (Some(hour), takes.saturating_add(1)));
    }
}

#[test]
fn a_claim_asked_for_again_gets_the_same_answer() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    let first = log.claim(1, 1, 7);
    assert_eq!(log.claim(1, 1, 7), first);
    assert_eq!(log.gate().attempts, 2, "and is counted once");
    assert_eq!(log.claim(1, 2, 8), Reply::ClaimRefused(ClaimRefusal::Running));
}

#[test]
fn a_success_reported_again_with_its_next_claim_gets_the_same_answer() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.arrive(&[2, 3]);
    log.claim(1, 1, 7);
    let first = log.resolve(7, Some(8));
    assert!(matches!(first, Reply::Resolved(Resolved { next: Some(grant), .. }) if grant.index == index(2)));
    assert_eq!(log.resolve(7, Some(8)), first);
    assert_eq!((log.rows.len(), log.gate().attempts), (2, 1), "and resolves no second event");
    assert_eq!(log.resolve(7, Some(9)), Reply::ClaimLost);
}

#[test]
fn every_refusal_of_a_claim_has_its_reason() {
    let mut log = Log::default();
    assert_eq!(log.claim(1, 0, 1), Reply::ClaimRefused(ClaimRefusal::NotHead), "no gate");
    log.fail(1, 1, RETRY);
    log.arrive(&[2]);
    assert_eq!(log.claim(2, 0, 1), Reply::ClaimRefused(ClaimRefusal::NotHead));
    assert_eq!(log.claim(1, 0, 1), Reply::ClaimRefused(ClaimRefusal::OtherAttempt));
    log.operate(Action::Park).unwrap();
    assert_eq!(log.claim(1, 1, 1), Reply::ClaimRefused(ClaimRefusal::Parked));
}

#[test]
fn a_result_under_a_token_that_is_not_the_gates_changes_nothing() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.claim(1, 1, 7);
    let before = log.gate();
    for stale in [token(8), token(0), token(u128::MAX)] {
        for input in [
            Input::Resolve { token: stale, in_process: false, next: Some(token(9)), ignored: None },
            Input::FailAgain { token: stale, failure: failure(), next: RETRY },
            Input::GiveBack { token: stale, after: Duration::ZERO },
            Input::Renew { token: stale },
        ] {
            let step = log.step(&input);
            assert_eq!((step.reply, step.delete_through), (Reply::ClaimLost, None));
            assert_eq!(log.gate(), before);
        }
    }
}

#[test]
fn a_renewal_moves_the_deadline_and_nothing_else() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.claim(1, 1, 7);
    let before = log.gate();
    log.later(Duration::from_secs(5));
    let deadline = log.now.plus(settings().claim_timeout);
    assert_eq!(log.step(&Input::Renew { token: token(7) }).reply, Reply::Renewed { deadline });
    let mut after = log.gate();
    assert_eq!(after.due_at.replace(before.due_at.unwrap()), Some(deadline));
    assert_eq!(after, before);
}

#[test]
fn a_run_that_is_given_back_does_not_count_and_keeps_a_park() {
    for parked in [false, true] {
        let mut log = Log::default();
        log.fail(1, 1, RETRY);
        log.claim(1, 1, 7);
        if parked {
            log.operate(Action::Park).unwrap();
        }
        let after = Duration::from_secs(3);
        assert_eq!(log.step(&Input::GiveBack { token: token(7), after }).reply, Reply::GivenBack);
        let gate = log.gate();
        assert_eq!((gate.attempts, gate.claim), (1, None));
        assert_eq!(gate.due_at, (!parked).then(|| log.now.plus(after)));
    }
}

#[test]
fn a_lost_run_runs_alone_and_parks_at_the_last_attempt() {
    let mut log = Log::new(Settings { attempts_max: 3, ..settings() });
    log.fail(1, 1, RETRY);
    log.claim(1, 1, 1);
    log.now = log.gate().due_at.unwrap();
    assert!(matches!(log.step(&Input::Take).reply, Reply::Taken(Taken { attempts: 2, alone: true, .. })));
    let Reply::Claimed(grant) = log.claim(1, 2, 2) else { panic!("not claimed") };
    assert!(grant.alone);
    log.now = log.gate().due_at.unwrap();
    let parked = Some(ParkCause::LostRun);
    assert_eq!(log.step(&Input::Take).reply, Reply::NotTaken { parked });
    assert_eq!((log.gate().parked, log.gate().due_at, log.gate().claim), (parked, None, None));
}

#[test]
fn a_success_of_a_parked_head_leaves_the_next_one_parked_and_released_alone() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.arrive(&[2, 3]);
    log.claim(1, 1, 1);
    log.operate(Action::Park).unwrap();
    log.resolve(1, Some(2));
    let gate = log.gate();
    assert_eq!((gate.head, gate.released, gate.claim), (Some(index(2)), Some(index(2)), None));
    assert_eq!((gate.parked, gate.due_at), (Some(ParkCause::Operator), None));
}

#[test]
fn a_success_releases_the_next_window_and_waits_for_what_is_released_already() {
    for (in_process, wait) in [(true, 0), (false, 10)] {
        let mut log = Log::default();
        log.fail(1, 1, RETRY);
        log.arrive(&[2, 3, 4, 5]);
        log.claim(1, 1, 1);
        log.resolve(1, None);
        let window = log.gate();
        assert_eq!((window.head, window.released), (Some(index(2)), Some(index(3))));
        assert_eq!(window.due_at, Some(log.now), "a new window goes out at once");
        log.claim(2, 0, 2);
        log.step(&Input::Resolve { token: token(2), in_process, next: None, ignored: None });
        let within = log.gate();
        assert_eq!((within.head, within.released), (Some(index(3)), Some(index(3))));
        assert_eq!(within.due_at, Some(log.now.plus(Duration::from_secs(wait))), "it is on its way");
    }
}

#[test]
fn whatever_sends_the_head_back_takes_back_what_was_released_behind_it() {
    let after = Duration::from_secs(1);
    let fail = Input::FailAgain { token: token(2), failure: failure(), next: RETRY };
    for input in [fail, Input::GiveBack { token: token(2), after }] {
        let mut log = Log::default();
        log.fail(1, 1, RETRY);
        log.arrive(&[2, 3]);
        log.claim(1, 1, 1);
        log.resolve(1, None);
        log.claim(2, 0, 2);
        assert_eq!(log.gate().released, Some(index(3)));
        log.step(&input);
        assert_eq!(log.gate().released, Some(index(2)));
    }
}

#[test]
fn a_head_keeps_its_first_and_last_failure_and_the_next_one_begins_anew() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.arrive(&[2]);
    let first = log.gate().first_failure;
    log.later(Duration::from_secs(1));
    log.claim(1, 1, 1);
    log.step(&Input::FailAgain { token: token(1), failure: failure(), next: RETRY });
    let gate = log.gate();
    assert_eq!((&gate.first_failure, gate.claim), (&first, None));
    assert_eq!(gate.last_failure.map(|last| (last.attempt, last.at)), Some((2, log.now)));
    log.claim(1, 2, 2);
    log.resolve(2, None);
    let next = log.gate();
    assert_eq!((next.attempts, next.first_failure, next.last_failure), (0, None, None));
}

#[test]
fn a_run_that_reports_its_failure_was_not_lost() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.claim(1, 1, 1);
    log.now = log.gate().due_at.unwrap();
    log.step(&Input::Take);
    log.claim(1, 2, 2);
    log.step(&Input::FailAgain { token: token(2), failure: failure(), next: RETRY });
    let Reply::Claimed(grant) = log.claim(1, 3, 3) else { panic!("not claimed") };
    assert!(!grant.alone);
}
