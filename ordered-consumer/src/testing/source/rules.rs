//! Every rule by name, in lists that tests and tables are made of.

use futures::future::BoxFuture;

use super::SourceFixture;

/// One rule of the suite.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is promised.
    pub name: &'static str,
    /// Checks it; panics when it does not hold.
    pub check: fn(Box<dyn SourceFixture>) -> BoxFuture<'static, ()>,
}

/// Makes one `#[tokio::test]` with a paused clock, or a real one, for each rule of the themes named.
///
/// It takes the clock (`paused` or `real`), the themes, and an expression that gives a future of a fresh boxed
/// [`SourceFixture`], which is evaluated anew for each rule. The crate that calls it needs tokio with its features
/// `macros`, `rt` and, for a paused clock, `test-util`. Name every theme that the adapter promises: `any`, then `owned`
/// or `shared`, `copies` if it has a retry stream, `publisher` if it has a publisher, `sessions` if its assignments have
/// a lease, `layouts` if its broker adds streams to topics, and `heartbeats` if it extends the leases of what it delivers.
///
/// ```text
/// mod kafka {
///     ordered_consumer::source_conformance!(real; any, owned, copies; super::kafka_fixture());
/// }
/// ```
#[macro_export]
macro_rules! source_conformance {
    ($clock:ident; $($theme:ident),+; $fixture:expr) => {
        $crate::__source_themes! { $clock { $fixture } $($theme)+ }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __source_themes {
    ($clock:ident { $fixture:expr }) => {};
    ($clock:ident { $fixture:expr } $theme:ident $($more:ident)*) => {
        $crate::__source_rules! { $theme $crate::__source_tests { $clock $theme { $fixture } } }
        $crate::__source_themes! { $clock { $fixture } $($more)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __source_tests {
    ({ paused $theme:ident { $fixture:expr } } $($rule:ident),* $(,)?) => {
        $(
            #[tokio::test(start_paused = true)]
            async fn $rule() {
                $crate::testing::source::$theme::$rule($fixture.await).await;
            }
        )*
    };
    ({ real $theme:ident { $fixture:expr } } $($rule:ident),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $rule() {
                $crate::testing::source::$theme::$rule($fixture.await).await;
            }
        )*
    };
}

macro_rules! rule_table {
    ({ $theme:ident } $($rule:ident),* $(,)?) => {
        vec![$(Rule { name: stringify!($rule), check: |fixture| Box::pin(super::$theme::$rule(fixture)) }),*]
    };
}

/// The rules of every source, to be run by means other than [`source_conformance!`](crate::source_conformance).
#[must_use]
pub fn any_rules() -> Vec<Rule> {
    crate::__source_rules! { any rule_table { any } }
}

/// The rules of sources whose streams are owned.
#[must_use]
pub fn owned_rules() -> Vec<Rule> {
    crate::__source_rules! { owned rule_table { owned } }
}

/// The rules of sources whose streams are shared.
#[must_use]
pub fn shared_rules() -> Vec<Rule> {
    crate::__source_rules! { shared rule_table { shared } }
}

/// The rules of adapters with a retry stream.
#[must_use]
pub fn copies_rules() -> Vec<Rule> {
    crate::__source_rules! { copies rule_table { copies } }
}

/// The rules of sources whose assignments have a lease.
#[must_use]
pub fn sessions_rules() -> Vec<Rule> {
    crate::__source_rules! { sessions rule_table { sessions } }
}

/// The rules of shared sources that extend the leases of what they deliver.
#[must_use]
pub fn heartbeats_rules() -> Vec<Rule> {
    crate::__source_rules! { heartbeats rule_table { heartbeats } }
}

/// The rules of sources whose broker may add streams to a topic.
#[must_use]
pub fn layouts_rules() -> Vec<Rule> {
    crate::__source_rules! { layouts rule_table { layouts } }
}

/// The rules of publishers.
#[must_use]
pub fn publisher_rules() -> Vec<Rule> {
    crate::__source_rules! { publisher rule_table { publisher } }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __source_rules {
    (any $with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            an_event_comes_as_it_was_published,
            events_of_an_entity_come_in_order_and_none_is_left_out,
            a_dropped_next_has_taken_nothing,
            after_a_crash_what_was_not_settled_comes_again,
            nothing_is_told_done_that_was_not_settled,
            what_was_settled_before_closing_does_not_come_again,
            a_paused_stream_is_still_until_it_is_resumed,
        }
    };
    (owned $with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            nothing_comes_before_the_assignment_is_confirmed,
            nothing_past_the_watermark_is_settled,
            a_settled_watermark_is_confirmed,
            an_assignment_that_is_not_is_not_confirmed,
            a_stream_confirmed_again_begins_at_the_first_unsettled,
            a_stream_is_handed_on_only_once_it_is_released,
            a_settlement_of_an_assignment_that_is_gone_is_dropped,
            a_released_assignment_is_not_confirmed,
            what_was_settled_before_the_release_counts,
        }
    };
    (shared $with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            an_entity_in_flight_is_given_to_nobody_else,
            an_entitys_events_of_one_receive_share_a_lease,
            an_entitys_events_are_deleted_in_order,
            a_refused_delete_abandons_the_rest_of_the_receive,
            abandoned_events_come_again_soon,
            a_lease_is_over_before_the_event_is_given_to_somebody_else,
            an_event_that_comes_again_says_so_and_has_a_lease_of_its_own,
            every_source_of_a_stream_confirms_it_and_says_the_same_identity,
        }
    };
    (sessions $with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            an_assignment_comes_with_a_lease_that_is_not_over,
            a_lease_lasts_while_the_source_is_asked,
            the_lease_of_a_silent_owner_is_over_before_another_has_the_stream,
        }
    };
    (heartbeats $with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            a_delivery_lasts_while_its_source_is_asked,
            a_settled_delivery_keeps_its_entity_no_longer,
            a_delivery_of_a_silent_source_runs_out,
        }
    };
    (layouts $with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            a_stream_is_called_by_its_layouts_name_and_its_number,
            a_layout_tells_how_far_its_streams_reach,
            streams_that_are_added_are_counted,
            what_was_settled_before_is_told_with_the_confirmation,
        }
    };
    (publisher $with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            an_empty_slice_goes_out_whole,
            a_slice_goes_out_in_its_order,
            it_says_how_many_went_out_wherever_the_first_failure_is,
            a_refusal_for_good_is_told_from_an_outage,
            publishes_at_the_same_time_keep_each_entity_in_order,
            a_dropped_publish_leaves_no_gap,
        }
    };
    (copies $with:path { $($more:tt)* }) => {
        $with! { { $($more)* }
            a_copy_says_which_event_it_is_of,
            an_index_of_128_bits_comes_back_whole,
            copies_of_an_entity_come_in_the_order_in_which_they_were_published,
            an_event_may_be_published_again,
            copies_that_were_not_settled_come_again,
            settled_copies_do_not_come_again,
            paused_copies_are_still_until_they_are_resumed,
            nothing_is_published_after_the_first_failure,
        }
    };
}
