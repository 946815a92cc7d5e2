//! The conformance suite is worth something only if it catches broken stores: here are some, each with one fault, and
//! the rules that must not hold on them.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "a faulty log that cannot be asked ends its test")]

mod bend;
mod fault;
mod layout;
mod look;
mod mutant;
mod tamper;

use std::panic::AssertUnwindSafe;

use fault::Fault;
use futures::FutureExt;
use mutant::Mutant;
use ordered_consumer::{
    Clock, Timestamp,
    testing::failure_log::{Bench, rules},
};

/// The names of the rules that do not hold on a log with this fault.
async fn broken_rules(fault: Fault) -> Vec<&'static str> {
    let mut broken = Vec::new();
    for rule in rules() {
        let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
        let bench = Bench::new(Mutant::new(fault, clock.clone()), clock);
        if AssertUnwindSafe((rule.check)(&bench)).catch_unwind().await.is_err() {
            broken.push(rule.name);
        }
    }
    broken
}

#[tokio::test]
async fn a_log_without_a_fault_keeps_every_rule() {
    assert_eq!(broken_rules(Fault::None).await, [""; 0]);
}

/// Otherwise a rule might be one that cannot be broken.
#[tokio::test]
async fn every_rule_is_broken_by_some_fault() {
    let mut whole: Vec<&str> = rules().iter().map(|rule| rule.name).collect();
    for fault in Fault::ALL {
        let broken = broken_rules(*fault).await;
        assert!(!broken.is_empty(), "no rule notices a log that has the fault {fault:?}");
        whole.retain(|rule| !broken.contains(rule));
    }
    assert_eq!(whole, [""; 0], "no faulty log breaks these");
}

/// One test for each fault: every rule that is named must notice it.
macro_rules! caught {
    ($($test:ident: $fault:ident by $($rule:ident),+;)*) => {
        $(
            #[tokio::test]
            async fn $test() {
                let broken = broken_rules(Fault::$fault).await;
                for rule in [$(stringify!($rule)),+] {
                    assert!(broken.contains(&rule), "`{rule}` misses it; these notice it: {broken:?}");
                }
            }
        )*
    };
}

caught! {
    a_log_that_forgets_the_fence: ForgetsTheFence
        by a_failure_is_refused_under_a_stale_generation, a_hold_is_refused_under_a_stale_generation,
           nobody_writes_under_a_generation_that_there_is_not, an_owner_from_before_a_decision_is_refused;
    a_log_that_reads_the_fence_without_a_lock: ReadsTheFenceWithoutALock
        by nothing_is_written_behind_a_takeover_that_comes_at_the_same_time;
    a_log_that_forgets_the_lock: ForgetsTheLock by of_claims_made_at_the_same_time_one_wins;
    a_log_that_ignores_the_deadline: IgnoresTheDeadline by a_write_is_refused_past_its_deadline_by_the_logs_clock;
    a_log_that_goes_by_its_callers_clock: GoesByTheCallersClock
        by a_write_is_refused_past_its_deadline_by_the_logs_clock, answers_carry_the_logs_own_time;
    a_log_that_grants_a_claim_twice: GrantsAClaimTwice
        by a_claim_is_granted_once_and_counted, of_claims_made_at_the_same_time_one_wins;
    a_log_that_takes_a_result_without_its_token: TakesAResultWithoutItsToken
        by a_result_without_its_token_does_not_count;
    a_log_that_compares_half_of_a_token: ComparesHalfOfAToken by tokens_that_differ_in_one_bit_are_different;
    a_log_that_counts_an_attempt_twice: CountsAnAttemptTwice
        by a_claim_is_granted_once_and_counted, a_run_given_back_does_not_count;
    a_log_that_counts_what_is_given_back: CountsWhatIsGivenBack by a_run_given_back_does_not_count;
    a_log_that_unparks_on_a_late_result: UnparksOnALateResult by a_park_sticks_whatever_a_late_run_reports;
    a_log_that_sorts_indexes_as_text: SortsIndexesAsText
        by held_events_are_in_the_order_of_their_indexes_at_every_width, held_events_are_read_within_their_bounds;
    a_log_that_keeps_64_bits_of_an_index: Keeps64BitsOfAnIndex
        by held_events_are_in_the_order_of_their_indexes_at_every_width, the_lowest_and_the_highest_index_are_legal;
    a_log_that_forgets_a_hold: ForgetsAHold
        by holding_twice_is_holding_once, a_drain_of_many_is_in_order_and_leaves_nothing;
    a_log_that_forgets_tombstones: ForgetsTombstones
        by a_resolved_event_that_comes_again_is_a_duplicate, the_lowest_and_the_highest_index_are_legal;
    a_log_that_drops_tombstones_too_early: DropsTombstonesTooEarly
        by a_tombstone_goes_when_it_is_older_than_the_queue_keeps_messages;
    a_log_that_hides_tombstones_from_the_cache: HidesTombstonesFromTheCache
        by every_gate_of_a_stream_is_found_page_by_page;
    a_log_that_drops_conflicts: DropsConflicts by another_event_at_a_logged_index_is_kept_too_and_parks;
    a_log_that_loses_repeated_headers: LosesRepeatedHeaders by a_claim_returns_the_event_as_it_came;
    a_log_that_takes_payloads_for_text: TakesPayloadsForText
        by a_claim_returns_the_event_as_it_came, a_large_payload_comes_back_whole;
    a_log_that_takes_null_for_empty: TakesNullForEmpty
        by nothing_and_empty_are_told_apart, a_head_can_be_edited_to_no_payload;
    a_log_that_runs_what_was_there_before_an_edit: RunsWhatWasThereBeforeAnEdit
        by an_edited_head_runs_as_edited_and_its_original_is_a_duplicate;
}

caught! {
    a_log_that_lets_a_stale_operator_act: LetsAStaleOperatorAct
        by an_operator_who_has_not_seen_the_gate_as_it_is_is_refused;
    a_log_that_forgets_requests: ForgetsRequests by a_request_made_again_returns_its_first_outcome;
    a_log_that_takes_one_entitys_request_for_anothers: SharesRequestsAmongEntities
        by a_request_made_for_another_entity_is_another_request;
    a_log_that_discards_what_has_not_come_yet: DiscardsWhatHasNotComeYet
        by a_discard_ends_with_the_last_logged_event;
    a_log_that_writes_no_audit: WritesNoAudit
        by every_action_leaves_a_line_in_the_audit, the_audit_knows_every_action,
           an_ignored_event_is_resolved_and_written_down, a_decision_is_written_down;
    a_log_that_uses_versions_again: UsesVersionsAgain by a_version_is_never_given_twice;
    a_log_that_changes_versions_with_holds: ChangesVersionsWithHolds by a_hold_changes_no_version;
    a_log_that_holds_one_event_too_many: HoldsOneEventTooMany by held_events_are_limited_exactly;
    a_log_that_holds_one_byte_too_many: HoldsOneByteTooMany by held_bytes_are_limited_exactly;
    a_log_that_limits_failures: LimitsFailures by a_failure_is_never_limited;
    a_log_that_writes_half_a_batch: WritesHalfABatch
        by two_requests_for_one_gate_are_misused, a_dropped_call_is_never_half_done;
    a_log_that_answers_in_its_own_order: AnswersInItsOwnOrder by answers_are_in_the_order_of_their_requests;
    a_log_that_takes_without_pushing_the_due_time: TakesWithoutPushingTheDueTime
        by a_taken_gate_is_not_found_by_a_second_relay, relays_at_the_same_time_never_take_one_gate_twice;
    a_log_that_takes_the_latest_due_first: TakesTheLatestDueFirst by the_longest_due_comes_first;
    a_log_that_sleeps_past_what_is_left: SleepsPastWhatIsLeft by the_relay_is_told_when_to_look_again;
    a_log_that_never_finds_lost_claims: NeverFindsLostClaims
        by a_lost_claim_is_found, lost_claims_use_up_the_attempts_and_park;
    a_log_that_never_parks_lost_runs: NeverParksLostRuns by lost_claims_use_up_the_attempts_and_park;
    a_log_that_releases_one_by_one: ReleasesOneByOne
        by a_success_releases_the_next_window, the_relay_takes_what_is_released;
    a_log_that_mixes_consumers_up: MixesConsumersUp
        by consumers_do_not_see_each_other, every_consumer_and_stream_has_a_record_of_its_own;
    a_log_that_lists_other_streams: ListsOtherStreams
        by every_gate_of_a_stream_is_found_page_by_page, a_new_stream_sets_the_old_one_apart;
    a_log_that_settles_backwards: SettlesBackwards by what_is_settled_never_goes_back;
    a_log_that_raises_from_anything: RaisesFromAnything
        by a_takeover_raises_only_from_what_was_read, of_takeovers_at_the_same_time_one_wins;
    a_log_that_forgets_identities: ForgetsIdentities by a_takeover_stops_when_the_stream_is_another;
    a_log_that_does_not_decide: DoesNotDecide
        by a_replay_forgets_what_was_settled_and_every_tombstone, a_new_stream_sets_the_old_one_apart;
    a_log_that_reads_without_end: ReadsWithoutEnd by held_events_are_read_within_their_bounds;
}

caught! {
    a_log_that_answers_a_result_twice: AnswersAResultTwice by a_result_counts_once;
    a_log_that_believes_whatever_a_copy_says: BelievesWhateverACopySays
        by a_claim_is_refused_for_anything_but_the_head_as_it_is;
    a_log_that_refuses_a_repeated_claim: RefusesARepeatedClaim by a_claim_asked_for_again_is_the_same_claim;
    a_log_that_ends_claims_on_a_takeover: EndsClaimsOnATakeover by a_result_under_a_claim_counts_after_a_takeover;
    a_log_that_refuses_a_whole_batch: RefusesAWholeBatch
        by a_refused_request_leaves_the_others_of_its_batch_alone;
    a_log_that_counts_a_failure_again: CountsAFailureAgain
        by a_failed_event_that_comes_again_while_it_is_logged_is_known;
    a_log_that_writes_on_the_quiet_path: WritesOnTheQuietPath
        by an_event_of_a_clear_entity_is_told_to_run_and_nothing_is_written;
    a_log_that_resumes_on_a_failure: ResumesOnAFailure by a_failure_of_a_paused_entity_stays_parked;
    a_log_that_accepts_any_action: AcceptsAnyAction by an_action_without_an_object_is_refused;
    a_log_that_forgets_why_it_parked: ForgetsWhyItParked by a_parked_head_is_not_looked_at_again;
    a_log_that_keeps_error_texts_in_ascii: KeepsErrorTextsInAscii by a_failures_text_comes_back_as_it_was;
    a_log_that_forgets_positions: ForgetsPositions by a_takeover_stops_when_the_position_went_back;
    a_log_that_drops_all_tombstones_at_once: DropsAllTombstonesAtOnce by tombstones_go_a_few_at_a_time;
    a_log_that_resets_versions: ResetsVersions by a_gate_that_comes_again_has_a_new_version;
    a_log_that_lists_backwards: ListsBackwards by a_list_is_read_page_by_page;
    a_log_that_acts_when_it_is_read: ActsWhenRead by reading_changes_nothing;
}

caught! {
    a_log_that_lists_by_a_pattern: ListsByPattern by a_prefix_is_taken_byte_by_byte;
    a_log_that_ignores_prefixes: IgnoresPrefixes
        by a_prefix_is_taken_byte_by_byte, a_list_by_prefix_is_read_page_by_page;
    a_log_that_ignores_ages: IgnoresAges by entities_are_found_by_how_long_they_have_waited;
    a_log_that_ignores_what_is_the_matter: IgnoresWhatIsTheMatter
        by entities_are_found_by_what_is_the_matter_with_them;
    a_log_that_counts_only_the_largest_groups: CountsOnlyTheLargestGroups
        by counts_are_bounded_and_say_what_they_leave_out;
    a_log_that_counts_by_name: CountsByName by gates_are_counted_by_what_they_have_in_common;
    a_log_that_forgets_before_and_after: ForgetsBeforeAndAfter
        by the_audit_keeps_what_an_operator_found_and_left_behind, a_refused_action_leaves_a_line_with_what_was_there;
    a_log_that_writes_down_no_refusal: WritesDownNoRefusal
        by every_action_leaves_a_line_in_the_audit, a_refused_action_leaves_a_line_with_what_was_there;
    a_log_that_loses_originals: LosesOriginals
        by an_edit_keeps_the_event_as_it_first_came, the_original_of_a_held_event_outlives_the_audit;
    a_log_that_keeps_the_last_edit: KeepsTheLastEdit
        by an_edit_keeps_the_event_as_it_first_came, an_event_that_comes_anew_has_an_original_of_its_own;
    a_log_that_lets_a_stale_void_through: LetsAStaleVoidThrough by a_void_of_what_is_not_there_is_refused;
    a_log_that_voids_every_conflict: VoidsEveryConflict
        by a_voided_conflict_is_gone_and_the_entity_stays_parked, every_conflict_at_an_index_is_voided_together;
    a_log_that_resumes_on_a_void: ResumesOnAVoid by a_voided_conflict_is_gone_and_the_entity_stays_parked;
    a_log_that_counts_a_note_as_a_change: CountsANoteAsAChange by a_note_is_written_down_and_changes_nothing;
    a_log_that_never_drops_the_audit: NeverDropsTheAudit
        by lines_of_the_audit_are_dropped_when_they_are_old, a_request_is_remembered_for_as_long_as_its_line;
    a_log_that_drops_the_audit_too_early: DropsTheAuditTooEarly by lines_of_the_audit_are_dropped_when_they_are_old;
    a_log_that_drops_the_whole_audit: DropsTheWholeAudit by lines_of_the_audit_are_dropped_when_they_are_old;
}

caught! {
    a_log_that_counts_streams_in_16_bits: CountsStreamsIn16Bits by whoever_sees_a_layout_first_admits_all_of_it;
    a_log_that_keeps_layouts_of_new_streams: KeepsLayoutsOfNewStreams
        by a_new_stream_begins_its_layout_anew_and_a_replay_does_not;
    a_log_that_looks_at_layouts_without_a_lock: LooksAtLayoutsWithoutALock
        by changes_that_are_seen_at_the_same_time_are_all_kept;
    a_log_that_forgets_the_identities_of_layouts: ForgetsLayoutIdentities
        by a_layout_of_another_identity_begins_anew, streams_that_are_added_wait_until_they_are_admitted;
    a_log_that_admits_whatever_it_sees: AdmitsWhateverItSees
        by streams_that_are_added_wait_until_they_are_admitted;
    a_log_that_sees_a_stream_when_it_looks: SeesAStreamWhenItLooks by a_look_at_a_layout_changes_nothing;
    a_log_that_admits_any_change: AdmitsAnyChange
        by an_admission_counts_only_for_the_change_that_it_is_about;
    a_log_that_never_admits_all: NeverAdmitsAll by whatever_waits_can_be_admitted_at_once;
    a_log_that_takes_tombstones_for_unresolved: TakesTombstonesForUnresolved
        by what_is_unresolved_is_found_by_its_head;
    a_log_that_overlooks_the_unresolved: OverlooksTheUnresolved by what_is_unresolved_is_found_by_its_head;
    a_log_that_forgets_to_mirror: ForgetsToMirror
        by a_parked_head_is_due_for_the_mirror_and_for_nothing_else, a_new_park_is_due_for_the_mirror_at_once;
    a_log_that_runs_what_is_parked: RunsWhatIsParked by a_parked_head_is_due_for_the_mirror_and_for_nothing_else;
    a_log_that_takes_for_the_mirror_for_good: TakesForTheMirrorForGood
        by a_parked_head_is_found_again_until_it_is_mirrored;
    a_log_that_mirrors_for_ever: MirrorsForEver by a_parked_head_is_found_again_until_it_is_mirrored;
    a_log_that_counts_a_later_park_as_mirrored: CountsALaterParkAsMirrored
        by what_was_mirrored_does_not_count_for_a_later_park;
    a_log_that_mirrors_without_a_mirror: MirrorsWithoutAMirror by without_a_mirror_a_parked_gate_is_looked_at_once;
    a_log_that_counts_the_mirror_as_late: CountsTheMirrorAsLate by due_for_the_mirror_is_neither_waiting_nor_late;
    a_log_that_writes_down_nothing_that_is_not_mirrored: WritesNoAudit
        by what_the_mirror_refuses_is_written_down_and_not_tried_again;
}
