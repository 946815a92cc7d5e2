//! moto's second opinion: every rule of the suite but those that it cannot keep, which are named with why.

use ordered_consumer::testing::source::{
    Rule, any, any_rules, copies, copies_rules, heartbeats, heartbeats_rules, publisher, publisher_rules,
    shared, shared_rules,
};

use crate::{
    endpoint::Emulator,
    fixture::{Retry, fixture},
};

/// moto 5.2.5 looks at a group's messages one by one once their visibility has run out, and passes over each as long as
/// another one counts as received; only the last of them is then given, and overtakes the others. With one message in flight,
/// and for what is given back, it does as AWS says.
const SEVERAL_OF_A_GROUP_RUN_OUT: [&str; 4] = [
    // Meanwhile the source has received it again, and is not asked for it.
    "a_refused_delete_abandons_the_rest_of_the_receive",
    "after_a_crash_what_was_not_settled_comes_again",
    "an_entitys_events_are_deleted_in_order",
    "copies_that_were_not_settled_come_again",
];

macro_rules! rules {
    ($($theme:ident: $($rule:ident),+ $(,)?;)+) => {
        $($(
            #[tokio::test]
            async fn $rule() {
                $theme::$rule(fixture(Emulator::Moto, Retry::OwnQueue).await).await;
            }
        )+)+

        /// The names of the rules above.
        const RUN: &[&str] = &[$($(stringify!($rule)),+),+];
    };
}

rules! {
    any:
        an_event_comes_as_it_was_published,
        events_of_an_entity_come_in_order_and_none_is_left_out,
        a_dropped_next_has_taken_nothing,
        nothing_is_told_done_that_was_not_settled,
        what_was_settled_before_closing_does_not_come_again,
        a_paused_stream_is_still_until_it_is_resumed;
    shared:
        an_entity_in_flight_is_given_to_nobody_else,
        an_entitys_events_of_one_receive_share_a_lease,
        abandoned_events_come_again_soon,
        a_lease_is_over_before_the_event_is_given_to_somebody_else,
        an_event_that_comes_again_says_so_and_has_a_lease_of_its_own,
        every_source_of_a_stream_confirms_it_and_says_the_same_identity;
    heartbeats:
        a_delivery_lasts_while_its_source_is_asked,
        a_settled_delivery_keeps_its_entity_no_longer,
        a_delivery_of_a_silent_source_runs_out;
    publisher:
        an_empty_slice_goes_out_whole,
        a_slice_goes_out_in_its_order,
        it_says_how_many_went_out_wherever_the_first_failure_is,
        a_refusal_for_good_is_told_from_an_outage,
        publishes_at_the_same_time_keep_each_entity_in_order,
        a_dropped_publish_leaves_no_gap;
    copies:
        a_copy_says_which_event_it_is_of,
        an_index_of_128_bits_comes_back_whole,
        copies_of_an_entity_come_in_the_order_in_which_they_were_published,
        an_event_may_be_published_again,
        settled_copies_do_not_come_again,
        paused_copies_are_still_until_they_are_resumed,
        nothing_is_published_after_the_first_failure;
}

#[test]
fn every_rule_is_run_or_said_to_be_beyond_moto() {
    let mut all: Vec<&str> =
        [any_rules(), shared_rules(), heartbeats_rules(), publisher_rules(), copies_rules()]
            .iter()
            .flatten()
            .map(|rule: &Rule| rule.name)
            .collect();
    let mut named: Vec<&str> = RUN.iter().chain(&SEVERAL_OF_A_GROUP_RUN_OUT).copied().collect();
    all.sort_unstable();
    named.sort_unstable();
    assert_eq!(named, all);
}
