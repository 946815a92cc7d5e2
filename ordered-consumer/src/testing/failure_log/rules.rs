//! Every rule by name, in one list that tests and tables are made of.

use futures::future::BoxFuture;

use super::Bench;

/// One rule of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is promised.
    pub name: &'static str,
    /// Checks it; panics when it does not hold.
    pub check: for<'b> fn(&'b Bench) -> BoxFuture<'b, ()>,
}

/// Every rule of the suite, to be run by means other than
/// [`failure_log_conformance!`](crate::failure_log_conformance).
#[must_use]
pub fn rules() -> Vec<Rule> {
    use super::*;
    crate::__failure_log_rules! { crate::__failure_log_rule_table {} }
}

/// Makes one `#[tokio::test]` for each rule that a failure log must keep.
///
/// It takes an expression that gives a future of a fresh [`Bench`], which is evaluated anew for each rule. The crate
/// that calls it needs tokio with its features `macros` and `rt`.
///
/// ```
/// use ordered_consumer::{Clock, MemoryFailureLog, Timestamp, testing::failure_log::Bench};
///
/// async fn memory() -> Bench {
///     let clock = Clock::manual(Timestamp::from_micros(1_700_000_000_000_000));
///     Bench::new(MemoryFailureLog::new().with_clock(clock.clone()), clock)
/// }
///
/// ordered_consumer::failure_log_conformance!(memory());
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! failure_log_conformance {
    ($bench:expr) => {
        $crate::__failure_log_rules! { $crate::__failure_log_tests { $bench } }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __failure_log_tests {
    ({ $bench:expr } $($theme:ident :: $rule:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $rule() {
                let bench: $crate::testing::failure_log::Bench = $bench.await;
                $crate::testing::failure_log::$theme::$rule(&bench).await;
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __failure_log_rule_table {
    ({} $($theme:ident :: $rule:ident),* $(,)?) => {
        vec![$(Rule { name: stringify!($rule), check: |bench| Box::pin($theme::$rule(bench)) }),*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __failure_log_rules {
    ($with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            audits::the_audit_keeps_what_an_operator_found_and_left_behind,
            audits::a_refused_action_leaves_a_line_with_what_was_there,
            audits::an_edit_keeps_the_event_as_it_first_came,
            audits::an_event_that_comes_anew_has_an_original_of_its_own,
            audits::lines_of_the_audit_are_dropped_when_they_are_old,
            audits::a_request_is_remembered_for_as_long_as_its_line,
            audits::the_original_of_a_held_event_outlives_the_audit,
            batches::two_requests_for_one_gate_are_misused,
            batches::an_empty_batch_is_misused,
            batches::a_batch_is_bounded,
            batches::answers_are_in_the_order_of_their_requests,
            batches::a_batch_of_every_kind_does_what_each_would_alone,
            batches::a_dropped_call_is_never_half_done,
            batches::writes_to_one_gate_at_the_same_time_all_count,
            claims::a_claim_is_granted_once_and_counted,
            claims::a_claim_asked_for_again_is_the_same_claim,
            claims::a_claim_is_refused_for_anything_but_the_head_as_it_is,
            claims::of_claims_made_at_the_same_time_one_wins,
            claims::a_claim_returns_the_event_as_it_came,
            claims::nothing_and_empty_are_told_apart,
            claims::a_large_payload_comes_back_whole,
            claims::a_result_without_its_token_does_not_count,
            claims::a_result_counts_once,
            claims::tokens_that_differ_in_one_bit_are_different,
            claims::a_renewed_claim_lasts,
            conflicts::conflicts_are_shown_as_they_came,
            conflicts::a_voided_conflict_is_gone_and_the_entity_stays_parked,
            conflicts::every_conflict_at_an_index_is_voided_together,
            conflicts::a_void_of_what_is_not_there_is_refused,
            conflicts::a_conflict_is_voided_while_the_head_runs,
            conflicts::the_last_conflict_lets_its_tombstone_go,
            conflicts::a_voided_conflict_that_comes_again_is_a_conflict_again,
            conflicts::a_note_is_written_down_and_changes_nothing,
            decisions::a_replay_forgets_what_was_settled_and_every_tombstone,
            decisions::a_new_stream_sets_the_old_one_apart,
            decisions::an_owner_from_before_a_decision_is_refused,
            decisions::a_decision_made_again_changes_nothing_more,
            decisions::a_decision_is_about_one_stream_of_one_consumer,
            decisions::a_decision_is_written_down,
            guards::a_failure_is_refused_under_a_stale_generation,
            guards::a_hold_is_refused_under_a_stale_generation,
            guards::nobody_writes_under_a_generation_that_there_is_not,
            guards::a_write_is_refused_past_its_deadline_by_the_logs_clock,
            guards::answers_carry_the_logs_own_time,
            guards::a_refused_request_leaves_the_others_of_its_batch_alone,
            guards::a_result_under_a_claim_counts_after_a_takeover,
            guards::nothing_is_written_behind_a_takeover_that_comes_at_the_same_time,
            holding::held_events_are_in_the_order_of_their_indexes_at_every_width,
            holding::the_lowest_and_the_highest_index_are_legal,
            holding::holding_twice_is_holding_once,
            holding::a_failed_event_that_comes_again_while_it_is_logged_is_known,
            holding::a_resolved_event_that_comes_again_is_a_duplicate,
            holding::another_event_at_a_logged_index_is_kept_too_and_parks,
            holding::a_failed_event_that_conflicts_with_the_logged_one_is_kept_too,
            holding::events_that_come_together_are_decided_in_order,
            holding::an_event_of_a_clear_entity_is_told_to_run_and_nothing_is_written,
            holding::a_suspect_is_logged_without_a_run_and_due_at_once,
            holding::a_failure_behind_a_head_is_held,
            layouts::whoever_sees_a_layout_first_admits_all_of_it,
            layouts::streams_that_are_added_wait_until_they_are_admitted,
            layouts::an_admission_counts_only_for_the_change_that_it_is_about,
            layouts::changes_that_are_seen_at_the_same_time_are_all_kept,
            layouts::a_layout_of_another_identity_begins_anew,
            layouts::whatever_waits_can_be_admitted_at_once,
            layouts::a_look_at_a_layout_changes_nothing,
            layouts::every_consumer_and_layout_has_a_row_of_its_own,
            layouts::a_new_stream_begins_its_layout_anew_and_a_replay_does_not,
            layouts::what_is_unresolved_is_found_by_its_head,
            limits::held_events_are_limited_exactly,
            limits::held_bytes_are_limited_exactly,
            limits::a_failure_is_never_limited,
            lists::every_gate_of_a_stream_is_found_page_by_page,
            lists::operators_pauses_and_parks_are_found_alone,
            lists::which_of_these_are_gated_is_answered_in_order,
            lists::gates_are_listed_by_everything_that_is_asked,
            lists::a_list_is_read_page_by_page,
            lists::totals_count_what_is_there,
            lists::the_age_of_what_is_held_is_that_of_the_longest_gated_entity,
            lists::held_events_are_read_within_their_bounds,
            lists::reading_changes_nothing,
            mirror::a_parked_head_is_due_for_the_mirror_and_for_nothing_else,
            mirror::a_parked_head_is_found_again_until_it_is_mirrored,
            mirror::what_was_mirrored_does_not_count_for_a_later_park,
            mirror::a_new_park_is_due_for_the_mirror_at_once,
            mirror::what_the_mirror_refuses_is_written_down_and_not_tried_again,
            mirror::due_for_the_mirror_is_neither_waiting_nor_late,
            mirror::without_a_mirror_a_parked_gate_is_looked_at_once,
            mirror::an_operator_has_a_parked_head_mirrored_again,
            operators::an_operator_who_has_not_seen_the_gate_as_it_is_is_refused,
            operators::while_the_head_runs_only_park_and_pause_are_taken,
            operators::a_request_made_again_returns_its_first_outcome,
            operators::a_request_made_for_another_entity_is_another_request,
            operators::a_skipped_head_is_resolved_without_a_run,
            operators::a_discard_ends_with_the_last_logged_event,
            operators::an_edited_head_runs_as_edited_and_its_original_is_a_duplicate,
            operators::a_head_can_be_edited_to_no_payload,
            operators::a_retry_lets_a_parked_head_begin_anew,
            operators::what_comes_to_a_paused_entity_is_held_until_it_is_resumed,
            operators::a_failure_of_a_paused_entity_stays_parked,
            operators::a_pause_that_held_nothing_leaves_nothing_behind,
            operators::an_action_without_an_object_is_refused,
            operators::every_action_leaves_a_line_in_the_audit,
            operators::the_audit_knows_every_action,
            queries::a_prefix_is_taken_byte_by_byte,
            queries::a_list_by_prefix_is_read_page_by_page,
            queries::entities_are_found_by_how_long_they_have_waited,
            queries::entities_are_found_by_what_is_the_matter_with_them,
            queries::gates_are_counted_by_what_they_have_in_common,
            queries::counts_are_bounded_and_say_what_they_leave_out,
            relays::a_taken_gate_is_not_found_by_a_second_relay,
            relays::relays_at_the_same_time_never_take_one_gate_twice,
            relays::a_published_event_that_does_not_come_back_is_found_again,
            relays::the_longest_due_comes_first,
            relays::the_relay_is_told_when_to_look_again,
            relays::a_lost_claim_is_found,
            relays::lost_claims_use_up_the_attempts_and_park,
            relays::a_lost_run_of_a_parked_gate_is_noticed,
            relays::a_look_tells_what_it_has_parked_and_how_late_it_is,
            relays::the_relay_takes_what_is_released,
            relays::a_due_time_is_the_logs_own,
            runs::a_success_releases_the_next_window,
            runs::a_drain_of_many_is_in_order_and_leaves_nothing,
            runs::a_success_reported_again_with_its_next_claim_is_the_same,
            runs::an_event_held_during_the_last_run_is_next,
            runs::a_failed_run_is_tried_again_later,
            runs::a_failures_text_comes_back_as_it_was,
            runs::a_parked_head_is_not_looked_at_again,
            runs::a_run_given_back_does_not_count,
            runs::a_park_sticks_whatever_a_late_run_reports,
            runs::an_ignored_event_is_resolved_and_written_down,
            separation::consumers_do_not_see_each_other,
            separation::streams_stay_apart,
            separation::entities_stay_apart_whatever_their_keys,
            separation::names_stay_apart_whatever_is_in_them,
            streams::a_takeover_raises_only_from_what_was_read,
            streams::of_takeovers_at_the_same_time_one_wins,
            streams::a_takeover_returns_the_record_as_it_was_and_as_it_is,
            streams::what_is_settled_never_goes_back,
            streams::a_takeover_stops_when_the_stream_is_another,
            streams::a_takeover_stops_when_the_position_went_back,
            streams::every_consumer_and_stream_has_a_record_of_its_own,
            tombstones::a_tombstone_goes_once_its_stream_is_settled_past_it,
            tombstones::a_tombstone_goes_when_it_is_older_than_the_queue_keeps_messages,
            tombstones::only_tombstones_without_conflicts_go,
            tombstones::tombstones_go_a_few_at_a_time,
            tombstones::tombstones_of_other_streams_and_consumers_stay,
            tombstones::an_entity_that_fails_again_is_no_tombstone,
            versions::a_hold_changes_no_version,
            versions::a_version_is_never_given_twice,
            versions::a_gate_that_comes_again_has_a_new_version,
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_that_is_written_is_in_the_list() {
        let themes = [
            include_str!("audits.rs"),
            include_str!("batches.rs"),
            include_str!("claims.rs"),
            include_str!("conflicts.rs"),
            include_str!("decisions.rs"),
            include_str!("guards.rs"),
            include_str!("holding.rs"),
            include_str!("layouts.rs"),
            include_str!("limits.rs"),
            include_str!("lists.rs"),
            include_str!("mirror.rs"),
            include_str!("operators.rs"),
            include_str!("queries.rs"),
            include_str!("relays.rs"),
            include_str!("runs.rs"),
            include_str!("separation.rs"),
            include_str!("streams.rs"),
            include_str!("tombstones.rs"),
            include_str!("versions.rs"),
        ];
        let mut written: Vec<&str> = themes
            .iter()
            .flat_map(|theme| theme.split("\npub async fn ").skip(1))
            .filter_map(|rule| rule.split('(').next())
            .collect();
        let mut listed: Vec<&str> = rules().iter().map(|rule| rule.name).collect();
        written.sort_unstable();
        listed.sort_unstable();
        assert_eq!(written, listed);
    }
}
