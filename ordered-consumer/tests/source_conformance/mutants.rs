//! Each broken source is found out by the rule that it breaks.

use ordered_consumer::{
    Sharing,
    testing::source::{
        Rule, any_rules, copies_rules, heartbeats_rules, layouts_rules, owned_rules, publisher_rules,
        sessions_rules, shared_rules,
    },
};

use super::{
    broken::{Broken, Fault},
    broken_publisher::{BrokenPublisher, PublisherFault},
    fixture::{Breaks, BreaksPublisher, InMemoryFixture},
};

/// What is broken, and where.
#[derive(Clone, Copy)]
enum Kind {
    Owned,
    Shared,
    Sessions,
    Heartbeats,
    Layouts,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Owned, Self::Shared, Self::Sessions, Self::Heartbeats, Self::Layouts];

    fn rules(self) -> Vec<Rule> {
        match self {
            Self::Owned => [any_rules(), owned_rules(), copies_rules(), publisher_rules()].concat(),
            Self::Shared => [any_rules(), shared_rules(), copies_rules(), publisher_rules()].concat(),
            Self::Sessions => [any_rules(), owned_rules(), sessions_rules()].concat(),
            Self::Heartbeats => [any_rules(), heartbeats_rules()].concat(),
            Self::Layouts => layouts_rules(),
        }
    }

    fn fixture(self, breaks: Option<Breaks>, breaks_publisher: Option<BreaksPublisher>) -> InMemoryFixture {
        let mut fixture = match self {
            Self::Owned | Self::Layouts => InMemoryFixture::new(Sharing::Owned, breaks),
            Self::Shared => InMemoryFixture::new(Sharing::Shared, breaks),
            Self::Sessions => InMemoryFixture::with_sessions(breaks),
            Self::Heartbeats => InMemoryFixture::with_heartbeats(breaks),
        };
        fixture.breaks_publisher = breaks_publisher;
        fixture
    }
}

/// The names of the rules that a fixture breaks.
async fn broken_rules(
    kind: Kind,
    breaks: Option<Breaks>,
    breaks_publisher: Option<BreaksPublisher>,
) -> Vec<&'static str> {
    let mut broken = Vec::new();
    for rule in kind.rules() {
        let fixture = kind.fixture(breaks, breaks_publisher);
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
                let broken = broken_rules(Kind::$sharing, Some(breaks), None).await;
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
    never_pausing_copies_is_found: Owned NeverPausesCopies breaks paused_copies_are_still_until_they_are_resumed;
    deleting_earlier_ones_is_found: Shared DeletesEarlierOnes breaks an_entitys_events_are_deleted_in_order;
    never_abandoning_is_found: Shared NeverAbandons breaks abandoned_events_come_again_soon;
    a_lease_for_each_is_found: Shared LeasesEach breaks an_entitys_events_of_one_receive_share_a_lease;
    settling_copies_on_delivery_is_found:
        Shared SettlesCopiesOnDelivery breaks copies_that_were_not_settled_come_again;
    never_settling_copies_is_found: Owned NeverSettlesCopies breaks settled_copies_do_not_come_again;
    saying_settled_too_far_is_found: Owned SaysSettledTooFar breaks a_settled_watermark_is_confirmed;
}

mutants! {
    assignments_without_a_lease_are_found:
        Sessions NoLeases breaks an_assignment_comes_with_a_lease_that_is_not_over;
    leases_that_nobody_extends_are_found: Sessions LeasesEach breaks a_lease_lasts_while_the_source_is_asked;
    leases_that_outlive_the_session_are_found:
        Sessions LeasesForever breaks the_lease_of_a_silent_owner_is_over_before_another_has_the_stream;
    leases_that_outlive_the_delivery_are_found:
        Shared LeasesForever breaks a_lease_is_over_before_the_event_is_given_to_somebody_else;
    leases_of_a_queue_that_nobody_extends_are_found:
        Heartbeats LeasesEach breaks a_delivery_lasts_while_its_source_is_asked;
    heartbeats_that_leave_the_lease_alone_are_found:
        Heartbeats LeasesForever breaks a_delivery_of_a_silent_source_runs_out;
    redeliveries_that_do_not_say_so_are_found:
        Shared HidesRedeliveries breaks an_event_that_comes_again_says_so_and_has_a_lease_of_its_own;
    confirming_nothing_of_a_queue_is_found:
        Shared ConfirmsNothing breaks every_source_of_a_stream_confirms_it_and_says_the_same_identity;
    an_identity_that_is_another_for_everybody_is_found:
        Shared MakesIdentitiesUp breaks every_source_of_a_stream_confirms_it_and_says_the_same_identity;
    settlements_that_are_lost_keep_the_entity_and_are_found:
        Heartbeats NeverSettles breaks a_settled_delivery_keeps_its_entity_no_longer;
}

mutants! {
    counting_streams_once_is_found: Layouts CountsStreamsOnce breaks streams_that_are_added_are_counted;
    numbering_from_one_is_found:
        Layouts NumbersFromOne breaks a_stream_is_called_by_its_layouts_name_and_its_number;
    forgetting_how_far_what_is_settled_reaches_is_found:
        Layouts ForgetsWhatIsSettled breaks a_layout_tells_how_far_its_streams_reach;
    telling_no_position_is_found:
        Layouts TellsNoPosition breaks what_was_settled_before_is_told_with_the_confirmation;
}

macro_rules! publisher_mutants {
    ($($name:ident: $fault:ident breaks $($rule:ident),+;)*) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $name() {
                let breaks: BreaksPublisher = |publisher| {
                    Box::new(BrokenPublisher::new(publisher, PublisherFault::$fault))
                };
                for kind in [Kind::Owned, Kind::Shared] {
                    let broken = broken_rules(kind, None, Some(breaks)).await;
                    for rule in [$(stringify!($rule)),+] {
                        assert!(broken.contains(&rule), "found by {broken:?}");
                    }
                }
            }
        )*
    };
}

publisher_mutants! {
    publishing_on_after_a_failure_is_found: PublishesOn
        breaks nothing_is_published_after_the_first_failure,
               it_says_how_many_went_out_wherever_the_first_failure_is;
    publishing_backward_is_found: PublishesBackward
        breaks a_slice_goes_out_in_its_order, copies_of_an_entity_come_in_the_order_in_which_they_were_published;
    counting_the_failed_one_is_found: CountsTheFailedOne
        breaks it_says_how_many_went_out_wherever_the_first_failure_is;
    counting_nothing_is_found: CountsNothing breaks a_slice_goes_out_in_its_order;
    calling_an_outage_a_refusal_is_found: RefusesWhenAway breaks a_refusal_for_good_is_told_from_an_outage;
    calling_a_refusal_an_outage_is_found: AwayWhenItRefuses breaks a_refusal_for_good_is_told_from_an_outage;
    an_empty_slice_that_fails_is_found: FailsOnNothing breaks an_empty_slice_goes_out_whole;
    publishing_the_last_first_is_found: WaitsAfterTheLast breaks a_dropped_publish_leaves_no_gap;
    mixing_what_is_published_at_once_is_found: TurnsEveryOtherSlice
        breaks publishes_at_the_same_time_keep_each_entity_in_order;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_not_broken_is_not_found() {
    for kind in Kind::ALL {
        assert!(broken_rules(kind, None, None).await.is_empty());
    }
}

/// Otherwise a rule might be one that cannot be broken.
#[tokio::test(start_paused = true)]
async fn every_new_rule_is_one_that_can_be_broken() {
    let mut names: Vec<&str> = [sessions_rules(), heartbeats_rules(), layouts_rules(), publisher_rules()]
        .concat()
        .iter()
        .map(|rule| rule.name)
        .collect();
    let this = include_str!("mutants.rs");
    names.retain(|name| !this.contains(&format!("breaks {name}")) && !this.contains(&format!("{name};")));
    assert!(names.is_empty(), "no broken source is told to break these: {names:?}");
}
