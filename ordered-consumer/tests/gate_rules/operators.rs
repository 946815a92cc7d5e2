//! What operators do.

use std::time::Duration;

use ordered_consumer::{
    Index, ParkCause, Timestamp,
    gate::{
        Action, Arrival, Gate, Input, Logged, Next, OperatorRefusal, Reply, State, Verdict,
        may_drop_tombstone,
    },
};

use crate::{
    ENDS, RETRY,
    log::{Log, event_with, failure, index, token},
};

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
fn a_resume_goes_on_counting_and_a_retry_begins_anew() {
    for (action, attempts) in [(Action::Resume, 5), (Action::Retry, 0)] {
        let mut log = Log::default();
        log.fail(1, 5, Next::Park(ParkCause::Exhausted));
        log.arrive(&[2, 3, 4]);
        log.later(Duration::from_secs(1));
        log.gate.as_mut().unwrap().takes = 3;
        log.operate(action).unwrap();
        let gate = log.gate();
        assert_eq!((gate.parked, gate.attempts, gate.takes), (None, attempts, 0));
        assert_eq!((gate.due_at, gate.released), (Some(log.now), Some(index(1))), "the head goes first");
    }
}

#[test]
fn a_resume_beside_a_living_run_leaves_its_deadline() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.claim(1, 1, 1);
    let deadline = log.gate().due_at;
    log.operate(Action::Park).unwrap();
    log.later(Duration::from_secs(1));
    log.operate(Action::Resume).unwrap();
    assert_eq!((log.gate().due_at, log.gate().claim), (deadline, Some(token(1))));
}

#[test]
fn giving_events_up_unparks_and_releases_what_is_behind_them() {
    let mut log = Log::default();
    log.fail(1, 1, Next::Park(ParkCause::Permanent));
    log.arrive(&[2, 3, 4]);
    log.operate(Action::Skip).unwrap();
    let gate = log.gate();
    assert_eq!((gate.parked, gate.due_at), (None, Some(log.now)));
    assert_eq!((gate.head, gate.released), (Some(index(2)), Some(index(3))));
}

#[test]
fn an_edit_names_the_row_to_change_and_retries_it() {
    let mut log = Log::default();
    log.fail(1, 3, Next::Park(ParkCause::Permanent));
    let edit = Action::Edit { payload: None, headers: ordered_consumer::Headers::default() };
    let step = log.step(&log.operation(edit));
    assert_eq!(step.edit_head, Some(index(1)));
    assert_eq!((log.gate().parked, log.gate().attempts), (None, 0));
}

#[test]
fn conflicts_outlive_the_events_beside_them() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    let other = Arrival { event: event_with(1, "other"), suspect: false };
    log.step(&Input::Arrive { events: vec![other] });
    log.operate(Action::Skip).unwrap();
    assert_eq!((log.gate().state(), log.gate().conflicts), (State::Cleared, 1));
    assert!(!may_drop_tombstone(&log.gate(), Some(Index::MAX), Some(Timestamp::MAX)));
    log.fail(2, 1, RETRY);
    assert_eq!(log.gate().conflicts, 1);
}

#[test]
fn a_resumed_tombstone_counts_its_age_anew_and_one_with_conflicts_stays() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.operate(Action::Skip).unwrap();
    log.operate(Action::Pause).unwrap();
    assert!(
        !may_drop_tombstone(&log.gate(), Some(Index::MAX), Some(Timestamp::MAX)),
        "not while it is paused"
    );
    log.later(Duration::from_secs(60));
    log.operate(Action::Resume).unwrap();
    assert_eq!((log.gate().state(), log.gate().since), (State::Cleared, log.now));
    let conflicts = Gate { conflicts: 1, parked: Some(ParkCause::Conflict), version: 9, ..Gate::default() };
    log.gate = Some(conflicts);
    log.operate(Action::Resume).unwrap();
    assert_eq!(log.gate().conflicts, 1);
}

#[test]
fn the_first_cause_of_a_park_stays() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    log.claim(1, 1, 1);
    log.operate(Action::Park).unwrap();
    let next = Next::Park(ParkCause::Exhausted);
    let reply = log.step(&Input::FailAgain { token: token(1), failure: failure(), next }).reply;
    assert_eq!(reply, Reply::FailedAgain(Logged::Parked(ParkCause::Operator)));
    assert_eq!(log.gate().parked, Some(ParkCause::Operator));
}

/// `event_with` makes another event at the same index.
fn conflict(log: &mut Log, at: u128, text: &'static str) {
    let other = Arrival { event: event_with(at, text), suspect: false };
    log.step(&Input::Arrive { events: vec![other] });
}

#[test]
fn a_void_takes_the_last_conflict_and_leaves_the_entity_parked() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    conflict(&mut log, 1, "other");
    conflict(&mut log, 1, "third");
    let digest = Some(event_with(1, "other").digest());
    let before = log.gate();
    log.operate(Action::VoidConflict { index: index(1), digest }).unwrap();
    assert_eq!(
        log.operate(Action::VoidConflict { index: index(1), digest }),
        Err(OperatorRefusal::NoSuchConflict)
    );
    log.operate(Action::VoidConflict { index: index(1), digest: None }).unwrap();
    let after = log.gate();
    assert_eq!((before.conflicts, after.conflicts, after.parked), (2, 0, Some(ParkCause::Conflict)));
    assert_eq!((after.head, after.due_at, after.attempts), (before.head, None, before.attempts));
    assert_ne!(before.version, after.version);
}

#[test]
fn a_tombstone_that_only_kept_a_conflict_goes_with_it() {
    let mut log = Log::default();
    log.gate = Some(Gate { conflicts: 1, version: 9, ..Gate::default() });
    let void = |log: &Log| log.operation(Action::VoidConflict { index: index(1), digest: None });
    assert_eq!(
        log.operate(Action::VoidConflict { index: index(1), digest: None }),
        Err(OperatorRefusal::NoSuchConflict)
    );
    log.gate = None;
    log.fail(1, 1, RETRY);
    conflict(&mut log, 1, "other");
    log.gate =
        Some(Gate { resolved: None, head: None, released: None, parked: None, due_at: None, ..log.gate() });
    let step = log.step(&void(&log));
    assert_eq!((step.reply, step.gate), (Reply::Operated { version: 0 }, None));
}

#[test]
fn a_note_changes_nothing_and_is_written_down_with_what_was_there() {
    let mut log = Log::default();
    log.fail(1, 1, RETRY);
    let before = log.gate();
    let step = log.step(&log.operation(Action::Note));
    let audit = step.audit.unwrap();
    assert_eq!((log.gate(), audit.outcome, audit.action), (before.clone(), Ok(before.version), "note"));
    assert_eq!((audit.before, audit.after), (Some(before.summary()), Some(before.summary())));
}
