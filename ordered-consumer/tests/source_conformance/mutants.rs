//! Each broken source is found out by the rule that it breaks.

use ordered_consumer::{
    Sharing,
    testing::source::{Rule, any_rules, copies_rules, owned_rules, shared_rules},
};

use super::{
    broken::{Broken, Fault},
    fixture::{Breaks, InMemoryFixture},
};

/// The names of the rules that a fixture breaks.
async fn broken_rules(sharing: Sharing, breaks: Option<Breaks>, publishes_on: bool) -> Vec<&'static str> {
    let of_sharing = match sharing {
        Sharing::Owned => owned_rules(),
        Sharing::Shared => shared_rules(),
    };
    let rules: Vec<Rule> = [any_rules(), of_sharing, copies_rules()].concat();
    let mut broken = Vec::new();
    for rule in rules {
        let mut fixture = InMemoryFixture::new(sharing, breaks);
        fixture.publishes_on = publishes_on;
        if tokio::spawn((rule.check)(Box::new(fixture))).await.is_err() {
            broken.push(rule.name);
        }
    }
    broken
}

macro_rules! mutants {
    ($($name:ident: $sharing:ident $fault:ident breaks $rule:ident;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                let breaks: Breaks = |source, broker| Box::new(Broken::new(source, broker, Fault::$fault));
                let broken = broken_rules(Sharing::$sharing, Some(breaks), false).await;
                assert!(broken.contains(&stringify!($rule)), "found by {broken:?}");
            }
        )*
    };
}

mutants! {
    a_next_that_is_not_cancel_safe_is_found: Owned NextIsNotCancelSafe breaks a_dropped_next_has_taken_nothing;
    and_on_a_queue: Shared NextIsNotCancelSafe breaks a_dropped_next_has_taken_nothing;
    settling_past_the_watermark_is_found:
        Owned SettlesPastTheWatermark breaks nothing_past_the_watermark_is_settled;
    settling_on_delivery_is_found: Owned SettlesOnDelivery breaks nothing_is_told_done_that_was_not_settled;
    deleting_on_delivery_is_found: Shared SettlesOnDelivery breaks after_a_crash_what_was_not_settled_comes_again;
    never_settling_is_found: Owned NeverSettles breaks what_was_settled_before_closing_does_not_come_again;
    never_deleting_is_found: Shared NeverSettles breaks an_entity_in_flight_is_given_to_nobody_else;
    settling_for_old_assignments_is_found:
        Owned SettlesForOldAssignments breaks a_settlement_of_an_assignment_that_is_gone_is_dropped;
    confirming_everything_is_found: Owned ConfirmsEverything breaks a_released_assignment_is_not_confirmed;
    confirming_from_memory_is_found:
        Owned ConfirmsFromMemory breaks a_stream_confirmed_again_begins_at_the_first_unsettled;
    delivering_unconfirmed_is_found:
        Owned DeliversUnconfirmed breaks nothing_comes_before_the_assignment_is_confirmed;
    releasing_at_once_is_found: Owned ReleasesAtOnce breaks a_stream_is_handed_on_only_once_it_is_released;
    delivering_backward_is_found:
        Owned DeliversBackward breaks events_of_an_entity_come_in_order_and_none_is_left_out;
    leaving_one_out_is_found: Owned DropsTheLast breaks events_of_an_entity_come_in_order_and_none_is_left_out;
    never_pausing_is_found: Owned NeverPauses breaks a_paused_stream_is_still_until_it_is_resumed;
    deleting_earlier_ones_is_found: Shared DeletesEarlierOnes breaks an_entitys_events_are_deleted_in_order;
    never_abandoning_is_found: Shared NeverAbandons breaks abandoned_events_come_again_soon;
    a_lease_for_each_is_found: Shared LeasesEach breaks an_entitys_events_of_one_receive_share_a_lease;
    settling_copies_on_delivery_is_found:
        Shared SettlesCopiesOnDelivery breaks copies_that_were_not_settled_come_again;
    never_settling_copies_is_found: Owned NeverSettlesCopies breaks settled_copies_do_not_come_again;
    saying_settled_too_far_is_found: Owned SaysSettledTooFar breaks a_settled_watermark_is_confirmed;
}

#[tokio::test(start_paused = true)]
async fn publishing_on_after_a_failure_is_found() {
    for sharing in [Sharing::Owned, Sharing::Shared] {
        let broken = broken_rules(sharing, None, true).await;
        assert_eq!(broken, ["nothing_is_published_after_the_first_failure"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_broken_is_not_found() {
    for sharing in [Sharing::Owned, Sharing::Shared] {
        assert!(broken_rules(sharing, None, false).await.is_empty());
    }
}
