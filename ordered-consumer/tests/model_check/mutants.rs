//! Canaries: with a rule broken, the check must find a counter-example, and of the expected kind. One that survives
//! means that the check is too weak to be believed.

use crate::{
    model::Model,
    moves::Promise,
    mutation::Mutant,
    scenarios::{IN_PROCESS, KILLER, MIRROR, OWNED, PAUSES, SHARED, TWICE},
    scope::{BASE, Scope, Way},
    search::search,
    state::Op,
};

/// The shortest counter-example, which must be there, and break the expected promise.
#[track_caller]
#[expect(clippy::panic, reason = "a test fails by panicking")]
fn is_caught(mutants: &[Mutant], scope: Scope, promise: Promise) {
    let model = Model::new(scope, mutants);
    let found = model.map(|model| search(&model));
    let Ok(Err(found)) = found else {
        panic!("{mutants:?} survives: {:?}", found.map(|found| found.ok()));
    };
    println!("{mutants:?}, in {} steps:\n{found}", found.way.len());
    assert_eq!(found.broken.promise, promise, "{mutants:?} breaks another promise:\n{found}");
}

macro_rules! mutants {
    ($($(#[doc = $doc:literal])* $name:ident: $($mutant:ident)|+ breaks $promise:ident in $scope:expr;)*) => {$(
        $(#[doc = $doc])*
        #[test]
        fn $name() {
            is_caught(&[$(Mutant::$mutant),+], $scope, Promise::$promise);
        }
    )*};
}

const fn operations(actions: &'static [Op]) -> Scope {
    Scope { operations: 1, actions, failures: 2, ..BASE }
}

mutants! {
    a_discard_passes_the_last_row:
        DiscardPassesLastRow breaks Lost in operations(&[Op::DiscardBeyond]);
    a_failure_unparks:
        FailureUnparks breaks Operator in Scope { failures: 1, ..operations(PAUSES) };
    a_resume_forgets_what_was_resolved:
        ResumeForgetsResolved breaks Regress in
        Scope { crashes: 1, operations: 2, failures: 1, ..operations(PAUSES) };
    an_attempt_is_not_counted:
        AttemptNotCounted breaks CrashLoop in KILLER;
    a_batch_does_not_decide_anew:
        BatchDoesNotRedecide breaks Order in Scope { events: 3, batch: 2, failures: 2, ..BASE };
    a_claim_ignores_another_claim:
        ClaimIgnoresOtherClaim | AttemptNotCounted breaks Regress in TWICE;
    a_claim_ignores_that_the_entity_is_parked:
        ClaimIgnoresPark breaks Operator in operations(&[Op::Park]);
    a_claim_is_granted_out_of_turn:
        ClaimOutOfTurn breaks Order in Scope { events: 3, failures: 2, ..BASE };
    duplicates_are_not_recognised:
        DuplicatesNotRecognised breaks Regress in Scope { crashes: 1, ..BASE };
    the_fence_is_not_looked_at:
        FenceIgnored breaks Regress in OWNED;
    a_hold_is_not_written:
        HoldNotWritten breaks Lost in BASE;
    a_lost_run_never_parks:
        LostRunNeverParks breaks CrashLoop in KILLER;
    a_lost_run_is_not_due_again:
        LostRunNotDueAgain breaks Books in Scope { crashes: 1, ..BASE };
    the_next_event_is_not_due:
        NextNotDue breaks Books in BASE;
    an_operator_acts_on_a_stale_version:
        OperatorActsOnStale breaks Operator in operations(&[Op::Skip]);
    an_operator_does_not_wait_for_the_run:
        OperatorDoesNotWaitForRun breaks Regress in Scope { failures: 1, ..operations(&[Op::Skip, Op::Discard]) };
    an_edit_does_not_wait_for_the_run:
        OperatorDoesNotWaitForRun breaks Operator in operations(&[Op::Edit]);
    a_park_does_not_stick:
        ParkDoesNotStick breaks Operator in operations(&[Op::Park]);
    a_pause_forgets_what_was_resolved:
        PauseForgetsResolved breaks Regress in Scope { crashes: 1, failures: 1, ..operations(PAUSES) };
    the_release_window_is_ignored:
        ReleasedWindowIgnored breaks Books in Scope { events: 4, window: 1, ..BASE };
    a_result_counts_without_its_token:
        ResultWithoutToken breaks Lost in Scope { polite: true, ..TWICE };
    holding_changes_the_version:
        VersionChangesWithHold breaks Operator in operations(&[Op::Retry]);
    a_failure_keeps_the_version:
        VersionKeptByFailure breaks Books in Scope { failures: 2, ..BASE };
    a_version_is_used_again_by_the_next_gate:
        VersionReused breaks Operator in operations(&[Op::Skip]);

    taking_a_parked_gate_counts_as_mirrored:
        MirroredByTaking breaks Mirrored in Scope { attempts_max: 1, ..MIRROR };
    what_was_mirrored_counts_for_a_later_park:
        MirroredWhateverItIs breaks Mirrored in
        Scope { operations: 1, actions: &[Op::Retry], failures: 2, attempts_max: 1, relays: 2, ..MIRROR };
    the_next_head_of_a_parked_entity_is_not_mirrored:
        NextNotMirrored breaks Mirrored in Scope { operations: 1, actions: &[Op::Park], ..MIRROR };
    what_comes_to_a_paused_entity_is_not_mirrored:
        HoldOfPausedNotMirrored breaks Mirrored in Scope { operations: 1, actions: PAUSES, ..MIRROR };
    a_park_for_a_lost_run_is_not_mirrored:
        LostRunNotMirrored breaks Mirrored in Scope { mirror: true, ..KILLER };
    a_parked_gate_taken_for_the_mirror_is_run:
        TakeUnparks breaks Operator in Scope { attempts_max: 1, ..MIRROR };

    a_note_changes_the_version:
        NoteChangesVersion breaks Operator in operations(&[Op::Note]);
    a_void_unparks:
        VoidUnparks breaks Operator in Scope { impostors: 1, ..operations(&[Op::Void]) };
    a_void_is_not_counted:
        VoidNotCounted breaks Books in Scope { impostors: 1, ..operations(&[Op::Void]) };
    a_conflict_is_voided_on_a_stale_version:
        OperatorActsOnStale breaks Operator in Scope { impostors: 2, ..operations(&[Op::Void]) };

    the_cache_loads_no_tombstones:
        CacheWithoutTombstones breaks Regress in OWNED;
    the_generation_is_raised_whatever_it_is:
        FenceNotCompareAndSet breaks Order in Scope { takeovers: 2, ..OWNED };
    the_generation_is_read_without_a_lock:
        FenceUnlocked breaks Regress in OWNED;
    a_refused_owner_gives_up:
        RefusedOwnerGivesUp | FenceNotCompareAndSet breaks Stalled in Scope { takeovers: 2, ..OWNED };
    a_refresh_replaces_the_cache:
        RefreshReplaces breaks Order in Scope { refreshes: 1, ..BASE };
    the_turn_ends_before_the_failure_is_durable:
        SlotFreedEarly breaks Order in BASE;
    an_owned_tombstone_is_dropped_early:
        TombstoneDroppedEarly breaks Regress in Scope { crashes: 1, ..BASE };
    a_shared_tombstone_is_dropped_early:
        TombstoneDroppedEarly breaks Regress in Scope { crashes: 1, ..SHARED };
    a_run_takes_the_payload_of_the_copy:
        PayloadOfTheCopy breaks Operator in operations(&[Op::Edit]);
    a_waiting_event_keeps_the_turn:
        WaitingEventKeepsTurn breaks Stalled in
        Scope { events: 3, held_max: 1, way: Way::InProcess, ..BASE };
    /// Not a rule but an honest limit: no protocol can stop a handler in a process that sleeps past its deadline.
    the_outside_effects_of_a_zombie_are_not_stopped:
        ZombiesCount breaks Order in OWNED;
    the_effects_of_an_expired_run_are_not_stopped_either:
        ZombiesCount breaks Regress in IN_PROCESS;

    suspects_are_run_at_once:
        NoSuspects breaks CrashLoop in KILLER;
    suspects_are_run_at_once_on_a_shared_stream:
        NoSuspects breaks CrashLoop in Scope { shared: true, ..KILLER };
    suspicion_ends_one_event_too_early:
        TooFewSuspects breaks CrashLoop in Scope { events: 3, killer: 2, uncommitted_max: 2, ..KILLER };
    suspicion_ends_at_the_first_commit:
        SuspicionEndsAtFirstCommit breaks CrashLoop in Scope { events: 3, killer: 2, ..KILLER };

    /// The look-up of a shared receive must not be believed after an answer "duplicate" either.
    an_entity_is_marked_only_when_something_was_held:
        MarkedOnlyWhenHeld breaks Order in Scope { events: 3, failures: 0, unknowns: 1, ..SHARED };
    a_failure_in_flight_outlives_its_deadline:
        NoDeadlineInStore breaks Regress in SHARED;
    neither_deadline_nor_suspects:
        NoDeadlineInStore | NoSuspects | NoReceiptCheck breaks Regress in SHARED;
    deletes_go_out_of_order:
        UnorderedDeletes breaks Regress in Scope { events: 3, batch: 3, failures: 0, ..SHARED };
}
