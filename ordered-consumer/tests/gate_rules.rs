//! Single rules of the gate, at their edges; how they work together is for the model check.

#[path = "gate_rules/log.rs"]
mod log;
#[path = "gate_rules/random.rs"]
mod random;

use std::time::Duration;

use log::{Log, event, event_with, failure, index, token};
use ordered_consumer::{
    Index, ParkCause, Timestamp,
    gate::{
        Action, Arrival, ClaimRefusal, FenceRefusal, Guard, Input, Logged, Next, OperatorRefusal, Reply,
        Resolved, Settings, State, Taken, Verdict, may_drop_tombstone,
    },
};

const RETRY: Next = Next::Retry(Duration::from_secs(1));
const ENDS: [u128; 2] = [0, u128::MAX];

#[test]
fn the_limit_of_events_is_reached_exactly_with_the_head_among_them() {
    let mut log = Log::new(Settings { held_events_max: 3, ..log::settings() });
    log.fail(1, 1, RETRY);
    assert_eq!(log.arrive(&[2, 3, 4]), [Verdict::Held, Verdict::Held, Verdict::Full]);
    assert_eq!(log.gate().held_events, 3);
    assert_eq!(log.arrive(&[4]), [Verdict::Full], "a full gate writes nothing");
    assert_eq!(log.arrive(&[2]), [Verdict::Duplicate], "what is held already is not refused");
}

#[test]
fn the_limit_of_bytes_is_reached_exactly() {
    let two = 2 * event(1).size() as u64;
    for (max, verdict) in [(two, Verdict::Held), (two - 1, Verdict::Full)] {
        let mut log = Log::new(Settings { held_bytes_max: max, ..log::settings() });
        log.fail(1, 1, RETRY);
        assert_eq!(log.arrive(&[2]), [verdict], "at most {max} bytes");
    }
}

#[test]
fn a_failure_is_logged_whatever_the_limits_say() {
    let mut log = Log::new(Settings { held_events_max: 0, held_bytes_max: 0, ..log::settings() });
    assert!(matches!(log.fail(1, 1, RETRY), Logged::Retrying { .. }));
    assert_eq!(log.fail(2, 1, RETRY), Logged::Held);
    let conflict =
        Input::Fail { event: event_with(1, "other"), attempts: 1, failure: failure(), next: RETRY };
    assert_eq!(log.step(&conflict).reply, Reply::Logged(Logged::Conflict), "and so is another payload");
    assert_eq!(log.step(&conflict).reply, Reply::Logged(Logged::Known), "once");
}

#[test]
fn a_conflict_keeps_both_events_and_parks() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    let suspect = false;
    let other = Input::Arrive { events: vec![Arrival { event: event_with(1, "other"), suspect }] };
    let step = log.step(&other);
    assert_eq!(step.reply, Reply::Arrived(vec![Verdict::Conflict]));
    assert_eq!((step.insert.len(), step.insert_conflicts), (0, vec![0]));
    let gate = log.gate();
    assert_eq!((gate.parked, gate.conflicts, gate.held_events), (Some(ParkCause::Conflict), 1, 1));
    assert_eq!(log.step(&other).reply, Reply::Arrived(vec![Verdict::Duplicate]), "it is kept once");
    assert!(!may_drop_tombstone(&log.gate(), Some(Index::MAX), Some(Timestamp::MAX)));
}

#[test]
fn conflicts_within_one_batch_are_kept_once_each() {
    let mut log = Log::default();
    log.fail(0, 1, RETRY);
    let arrivals = ["a", "b", "a", "b"].map(|text| Arrival { event: event_with(1, text), suspect: false });
    let step = log.step(&Input::Arrive { events: arrivals.to_vec() });
    let expected = vec![Verdict::Held, Verdict::Conflict, Verdict::Duplicate, Verdict::Duplicate];
    assert_eq!(step.reply, Reply::Arrived(expected));
    assert_eq!((step.insert, step.insert_conflicts), (vec![0], vec![1]));
}

#[test]
fn the_lowest_and_the_highest_index_are_legal_throughout() {
    for at in ENDS {
        let mut log = Log::default();
        log.fail(at, 1, RETRY);
        assert_eq!(log.gate().head, Some(index(at)));
        log.later(Duration::from_secs(1));
        let Reply::Taken(Taken { head, released, .. }) = log.step(&Input::Take).reply else {
            panic!("not taken")
        };
        assert_eq!((head, released), (index(at), index(at)));
        log.claim(at, 1, 7);
        assert!(matches!(log.resolve(7, None), Reply::Resolved(Resolved { next: None, head: None })));
        let gate = log.gate();
        assert_eq!((gate.state(), gate.resolved), (State::Cleared, Some(index(at))));
        assert_eq!(log.arrive(&[at]), [Verdict::Duplicate], "a tombstone at {at} knows it");
        let before = index(at).before();
        assert!(may_drop_tombstone(&gate, Some(index(at)), None));
        assert!(!may_drop_tombstone(&gate, before, None));
    }
}

#[test]
fn a_hold_from_the_lowest_to_the_highest_index_drains_in_order() {
    let mut log = Log::default();
    log.fail(0, 1, RETRY);
    assert_eq!(log.arrive(&[u128::from(u64::MAX) + 1, u128::MAX]), [Verdict::Held; 2]);
    log.claim(0, 1, 1);
    log.resolve(1, Some(2));
    assert_eq!(log.gate().head, Some(index(u128::from(u64::MAX) + 1)));
    log.resolve(2, Some(3));
    assert_eq!(log.gate().head, Some(Index::MAX));
    log.resolve(3, Some(4));
    assert_eq!(log.gate().state(), State::Cleared);
}

#[test]
fn the_highest_index_can_be_paused_skipped_and_discarded() {
    for at in ENDS {
        for action in [Action::Skip, Action::DiscardThrough(Index::MAX)] {
            let mut log = Log::default();
            log.operate(Action::Pause).unwrap();
            assert_eq!(log.arrive(&[at]), [Verdict::Held]);
            log.operate(action).unwrap();
            assert_eq!(log.arrive(&[at]), [Verdict::Duplicate]);
            assert_eq!(log.gate().resolved, Some(index(at)));
        }
    }
}

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
    let deadline = log.now.plus(log::settings().claim_timeout);
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
    let mut log = Log::new(Settings { attempts_max: 3, ..log::settings() });
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
fn a_request_made_again_returns_its_first_outcome() {
    for (first, again) in [
        (Ok(41), Reply::Operated { version: 41 }),
        (Err(OperatorRefusal::Running), Reply::OperatorRefused(OperatorRefusal::Running)),
    ] {
        let mut log = Log::default();
        log.fail(1, 1, RETRY);
        let before = log.gate();
        log.earlier_outcome = Some(first);
        let step = log.step(&log.operation(Action::Skip));
        assert_eq!((step.reply, step.audit, step.delete_through), (again, None, None));
        assert_eq!(log.gate(), before);
    }
}

#[test]
fn a_discard_never_passes_the_last_row() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.arrive(&[2]);
    log.operate(Action::DiscardThrough(Index::MAX)).unwrap();
    assert_eq!(log.gate().resolved, Some(index(2)));
    assert_eq!(log.arrive(&[3]), [Verdict::Run], "what has not come yet is no duplicate");
}

#[test]
fn operators_are_refused_for_a_reason_and_it_is_written_down() {
    let mut log = Log::default();
    let nothing = [Action::Skip, Action::Retry, Action::Park, Action::DiscardThrough(index(1))];
    for action in nothing {
        assert_eq!(log.operate(action), Err(OperatorRefusal::NothingHeld));
    }
    log.fail(5, 1, RETRY);
    assert_eq!(log.operate(Action::Resume), Err(OperatorRefusal::NotParked));
    assert_eq!(log.operate(Action::DiscardThrough(index(4))), Err(OperatorRefusal::BelowHead));
    let stale = log.operation(Action::Skip);
    log.claim(5, 1, 1);
    assert_eq!(log.operate(Action::Skip), Err(OperatorRefusal::Running));
    let current = log.gate().version;
    let step = log.step(&stale);
    assert_eq!(step.reply, Reply::OperatorRefused(OperatorRefusal::Stale { current }));
    assert_eq!(step.audit.unwrap().outcome, Err(OperatorRefusal::Stale { current }));
}

#[test]
fn a_pause_that_nothing_followed_leaves_no_gate_behind() {
    let mut log = Log::default();
    log.operate(Action::Pause).unwrap();
    assert_eq!(log.gate().state(), State::Paused);
    log.operate(Action::Resume).unwrap();
    assert_eq!(log.gate, None);
}

#[test]
fn a_failure_under_a_pause_is_the_head_and_stays_parked() {
    let mut log = Log::default();
    log.operate(Action::Pause).unwrap();
    assert_eq!(log.fail(1, 3, RETRY), Logged::Parked(ParkCause::Operator));
    let gate = log.gate();
    assert_eq!((gate.head, gate.attempts, gate.due_at), (Some(index(1)), 3, None));
}

#[test]
fn a_batch_is_left_undecided_behind_a_run_and_behind_a_full_gate() {
    let mut log = Log::new(Settings { held_events_max: 1, ..log::settings() });
    assert_eq!(log.arrive(&[1, 2, 3]), [Verdict::Run, Verdict::Undecided, Verdict::Undecided]);
    log.fail(1, 1, RETRY);
    assert_eq!(log.arrive(&[1, 2, 3]), [Verdict::Duplicate, Verdict::Full, Verdict::Undecided]);
}

#[test]
fn a_suspect_is_due_at_once_with_no_attempt_counted_and_those_behind_it_are_held() {
    let mut log = Log::default();
    let events = [1, 2].map(|at| Arrival { event: event(at), suspect: true });
    let step = log.step(&Input::Arrive { events: events.to_vec() });
    assert_eq!(step.reply, Reply::Arrived(vec![Verdict::Suspect, Verdict::Held]));
    assert_eq!((log.gate().attempts, log.gate().due_at), (0, Some(log.now)));
}

#[test]
fn a_tombstone_counts_its_age_from_when_it_was_cleared() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.claim(1, 1, 1);
    log.later(Duration::from_secs(60));
    log.resolve(1, None);
    assert_eq!(log.gate().since, log.now);
    assert!(!may_drop_tombstone(&log.gate(), None, Some(log.now)));
    assert!(may_drop_tombstone(&log.gate(), None, Some(log.now.plus(Duration::from_micros(1)))));
}

#[test]
fn a_shared_guard_is_refused_from_its_deadline_on_and_writes_nothing() {
    let mut log = Log::default();
    let fail = Input::Fail { event: event(1), attempts: 1, failure: failure(), next: RETRY };
    let refused = Reply::Fenced(FenceRefusal::DeadlinePassed);
    let late = log.step_as(Guard::Shared { deadline: Some(log.now) }, &fail);
    assert_eq!((late.reply, late.gate, late.insert.len()), (refused, None, 0));
    let in_time = Guard::Shared { deadline: Some(log.now.plus(Duration::from_micros(1))) };
    assert!(matches!(log.step_as(in_time, &fail).reply, Reply::Logged(Logged::Retrying { .. })));
}

#[test]
fn what_a_handler_ignores_is_only_written_down() {
    let mut log = Log::default();
    let step = log.step(&Input::Ignore { index: index(4), failure: failure() });
    assert_eq!((step.gate, step.reply), (None, Reply::Noted));
    assert_eq!(step.audit.map(|audit| (audit.action, audit.index)), Some(("ignore", Some(index(4)))));
}
