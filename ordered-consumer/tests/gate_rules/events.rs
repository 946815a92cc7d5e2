//! Events of the main stream: their limits, conflicts and indexes.

use std::time::Duration;

use ordered_consumer::{
    Index, ParkCause, Timestamp,
    gate::{
        Action, Arrival, FenceRefusal, Guard, Input, Logged, Reply, Resolved, Settings, Settle, State,
        TakeOver, Taken, Verdict, may_drop_tombstone, settle, take_over,
    },
};

use crate::{
    ENDS, RETRY,
    log::{Log, event, event_with, failure, index, settings},
};

#[test]
fn the_limit_of_events_is_reached_exactly_with_the_head_among_them() {
    let mut log = Log::new(Settings { held_events_max: 3, ..settings() });
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
        let mut log = Log::new(Settings { held_bytes_max: max, ..settings() });
        log.fail(1, 1, RETRY);
        assert_eq!(log.arrive(&[2]), [verdict], "at most {max} bytes");
    }
}

#[test]
fn a_failure_is_logged_whatever_the_limits_say() {
    let mut log = Log::new(Settings { held_events_max: 0, held_bytes_max: 0, ..settings() });
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
fn a_failure_under_a_pause_is_the_head_and_stays_parked() {
    let mut log = Log::default();
    log.operate(Action::Pause).unwrap();
    assert_eq!(log.fail(1, 3, RETRY), Logged::Parked(ParkCause::Operator));
    let gate = log.gate();
    assert_eq!((gate.head, gate.attempts, gate.due_at), (Some(index(1)), 3, None));
}

#[test]
fn a_batch_is_left_undecided_behind_a_run_and_behind_a_full_gate() {
    let mut log = Log::new(Settings { held_events_max: 1, ..settings() });
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

#[test]
fn a_stream_let_go_stays_clean_until_the_next_takeover() {
    let asked = TakeOver { seen_generation: 0, identity: None, position: None, uncommitted_max: 5 };
    let owned = take_over(None, &asked).unwrap();
    let report = |let_go| Settle { generation: 1, settled: None, let_go };
    let clean = settle(Some(&owned), &report(true)).unwrap();
    assert!(settle(Some(&clean), &report(false)).unwrap().clean, "a report on its way does not undo it");
    let again = take_over(Some(&clean), &TakeOver { seen_generation: 1, ..asked }).unwrap();
    assert_eq!((again.clean, again.generation), (false, 2));
}
