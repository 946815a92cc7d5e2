//! Parked heads and the mirror, at the edges.

use ordered_consumer::{
    ParkCause,
    gate::{Action, Input, Next, OperatorRefusal, ParkedHead, Reply, Settings},
};

use crate::{
    ENDS, RETRY,
    log::{Log, failure, index, settings, token},
};

const PARK: Next = Next::Park(ParkCause::Permanent);

fn mirroring() -> Log {
    Log::new(Settings { mirror_parked: true, ..settings() })
}

fn take(log: &mut Log) -> Option<ParkedHead> {
    let Reply::TakenParked(head) = log.step(&Input::Take).reply else { return None };
    Some(head)
}

fn tell(log: &mut Log, at: u128, version: u64) -> bool {
    let refused = None;
    log.step(&Input::Mirrored { index: index(at), version, refused }).reply
        == Reply::Mirrored { counts: true }
}

#[test]
fn without_a_mirror_nothing_that_parks_is_ever_due() {
    let mut log = Log::default();
    log.fail(1, 1, PARK);
    assert_eq!(log.gate().due_at, None);
    log.operate(Action::Pause).unwrap();
    assert_eq!((log.gate().due_at, take(&mut log)), (None, None));
}

#[test]
fn a_parked_head_is_due_at_once_and_taking_it_pushes_its_due_time_out_and_keeps_its_version() {
    for at in ENDS {
        let mut log = mirroring();
        log.fail(at, 3, PARK);
        let version = log.gate().version;
        assert_eq!(log.gate().due_at, Some(log.now));
        let head = take(&mut log).unwrap();
        assert_eq!((head.index, head.version, head.attempts), (index(at), version, 3));
        assert_eq!((head.cause, head.first_failure.clone()), (ParkCause::Permanent, head.last_failure));
        assert_eq!(log.gate().due_at, Some(log.now.plus(settings().redelivery_timeout)));
        assert_eq!((take(&mut log), log.gate().version), (None, version));
        assert!(tell(&mut log, at, version) && tell(&mut log, at, version));
        assert_eq!((log.gate().due_at, log.gate().takes, log.gate().version), (None, 0, version));
    }
}

#[test]
fn only_the_parked_head_by_its_version_counts_as_mirrored() {
    let mut log = mirroring();
    log.fail(2, 1, PARK);
    log.arrive(&[3]);
    let version = log.gate().version;
    for (at, version) in [(1, version), (3, version), (2, version - 1), (2, version + 1), (2, 0)] {
        assert!(!tell(&mut log, at, version));
        assert_eq!(log.gate().due_at, Some(log.now), "{at} at version {version}");
    }
    assert!(!tell(&mut mirroring(), 2, 0), "there is no gate");
}

#[test]
fn a_waiting_head_is_not_mirrored_and_stays_due() {
    let mut log = mirroring();
    log.fail(1, 1, RETRY);
    let before = log.gate();
    assert!(!tell(&mut log, 1, before.version));
    assert_eq!(log.gate(), before);
}

#[test]
fn a_claim_of_a_parked_gate_keeps_its_deadline_whatever_is_said_to_be_mirrored() {
    let mut log = mirroring();
    log.fail(1, 1, RETRY);
    log.claim(1, 1, 1);
    log.operate(Action::Park).unwrap();
    let before = log.gate();
    assert!(!tell(&mut log, 1, before.version));
    assert_eq!(log.gate(), before);
    log.step(&Input::FailAgain { token: token(1), failure: failure(), next: RETRY });
    assert_eq!(log.gate().due_at, Some(log.now));
}

#[test]
fn whatever_unparks_supersedes_the_mirror_and_whatever_parks_again_is_due_again() {
    for action in [Action::Retry, Action::Resume, Action::Skip] {
        let mut log = mirroring();
        log.fail(1, 1, PARK);
        log.arrive(&[2]);
        let head = take(&mut log).unwrap();
        log.operate(action).unwrap();
        assert!(!tell(&mut log, 1, head.version));
        assert_eq!((log.gate().parked, log.gate().due_at), (None, Some(log.now)));
        assert_eq!(take(&mut log), None, "what is not parked is not mirrored");
        log.operate(Action::Park).unwrap();
        assert_eq!(take(&mut log).map(|head| head.cause), Some(ParkCause::Operator));
    }
}

#[test]
fn a_note_leaves_a_mirrored_head_mirrored_and_another_park_does_not() {
    let mut log = mirroring();
    log.fail(1, 1, PARK);
    let head = take(&mut log).unwrap();
    assert!(tell(&mut log, 1, head.version));
    log.operate(Action::Note).unwrap();
    assert_eq!(log.gate().due_at, None);
    assert!(log.operate(Action::Park).is_ok());
    assert!(log.gate().due_at.is_some(), "parked again, for another cause: it is mirrored again");
}

#[test]
fn an_operator_makes_a_parked_head_due_for_the_mirror_and_changes_nothing_else() {
    let mut log = mirroring();
    assert_eq!(log.operate(Action::Mirror), Err(OperatorRefusal::NothingHeld));
    log.fail(1, 1, RETRY);
    assert_eq!(log.operate(Action::Mirror), Err(OperatorRefusal::NotParked));
    log.claim(1, 1, 1);
    log.operate(Action::Park).unwrap();
    assert_eq!(log.operate(Action::Mirror), Err(OperatorRefusal::Running));
    log.step(&Input::FailAgain { token: token(1), failure: failure(), next: RETRY });
    let version = take(&mut log).unwrap().version;
    assert!(tell(&mut log, 1, version));
    let before = log.gate();
    assert_eq!(log.operate(Action::Mirror), Ok(version));
    assert_eq!(log.gate().due_at, Some(log.now));
    assert!(take(&mut log).is_some() && tell(&mut log, 1, version));
    assert_eq!(log.gate(), before);
}
