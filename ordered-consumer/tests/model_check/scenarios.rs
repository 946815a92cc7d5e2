//! The scopes in which every promise holds, with the rules as they are.

use crate::{
    model::Model,
    scope::{BASE, Scope, Way},
    search::{search, states_total},
    state::Op,
};

const EVERY: &[Op] =
    &[Op::Skip, Op::Park, Op::Retry, Op::Discard, Op::DiscardBeyond, Op::Edit, Op::Pause, Op::Resume];
/// What is done where another event came at a logged index.
const VOIDS: &[Op] = &[Op::Void, Op::Note, Op::Retry, Op::Resume, Op::Skip];

fn is_wide() -> bool {
    std::env::var("ORDERED_CONSUMER_MODEL").is_ok_and(|scope| scope == "wide")
}

/// Every state of the scope is visited; of the wide one when that is asked for.
#[track_caller]
#[expect(clippy::panic, reason = "a test fails by panicking, and shows the counter-example")]
fn holds(name: &str, usual: Scope, wide: Scope) {
    let scope = if is_wide() { wide } else { usual };
    let started = std::time::Instant::now();
    match Model::new(scope, &[]).map(|model| search(&model)) {
        Ok(Ok(states)) => {
            println!(
                "{name}: {states} states in {:.1?}, {} so far in all",
                started.elapsed(),
                states_total()
            );
        }
        Ok(Err(found)) => panic!("{name}:\n{found}"),
        Err(error) => panic!("{error}"),
    }
}

/// One named test for each scope that holds: the usual one, and the wide one.
macro_rules! scenarios {
    ($($(#[doc = $doc:literal])* $name:ident: $usual:expr, wide: $wide:expr;)*) => {$(
        $(#[doc = $doc])*
        #[test]
        fn $name() {
            holds(stringify!($name), $usual, $wide);
        }
    )*};
}

pub(crate) const OWNED: Scope = Scope { processes: 2, takeovers: 1, ..BASE };
pub(crate) const SHARED: Scope = Scope { shared: true, processes: 2, batch: 2, visibilities: 1, ..BASE };
pub(crate) const TWICE: Scope = Scope { runners: 2, expiries: 1, ..BASE };
pub(crate) const IN_PROCESS: Scope = Scope { way: Way::InProcess, claims_next: true, ..TWICE };
pub(crate) const KILLER: Scope = Scope { killer: 1, attempts_max: 2, failures: 0, ..BASE };
pub(crate) const MIRROR: Scope = Scope { mirror: true, mirror_faults: 1, ..BASE };
pub(crate) const PAUSES: &[Op] = &[Op::Pause, Op::Resume];

scenarios! {
    failures_and_one_crash_with_two_relays:
        Scope { crashes: 1, relays: 2, early_looks: 1, ..BASE },
        wide: Scope { events: 3, failures: 2, crashes: 1, relays: 2, early_looks: 1, ..BASE };
    three_events_two_failures_a_crash_and_an_early_look:
        Scope { events: 3, failures: 2, crashes: 1, early_looks: 1, ..BASE },
        wide: Scope { events: 4, failures: 2, crashes: 2, early_looks: 1, ..BASE };
    a_window_smaller_than_what_is_held:
        Scope { events: 4, window: 1, failures: 3, early_looks: 1, ..BASE },
        wide: Scope { events: 4, failures: 3, early_looks: 2, relays: 2, ..BASE };

    /// The visibility of a retry copy runs out while its handler runs, or its consumers rebalance.
    the_retry_topic_delivers_again_beside_a_living_run:
        Scope { events: 3, early_looks: 1, expiries: 2, ..TWICE },
        wide: Scope { events: 3, failures: 2, expiries: 2, early_looks: 2, ..TWICE };
    redelivery_and_a_crash:
        Scope { crashes: 1, expiries: 2, ..TWICE },
        wide: Scope { events: 3, failures: 2, expiries: 2, crashes: 1, ..TWICE };
    /// The handler is dropped, and its store call is already on its way.
    the_retry_stream_is_revoked_politely:
        Scope { polite: true, failures: 2, events: 3, expiries: 2, ..TWICE },
        wide: Scope { polite: true, events: 3, failures: 2, expiries: 2, ..TWICE };
    /// Copies that the broker refuses come back in-process, beside others in the topic.
    both_ways_back_at_once:
        Scope { way: Way::Both, events: 3, early_looks: 1, claims_next: true, ..TWICE },
        wide: Scope { way: Way::Both, events: 3, failures: 2, early_looks: 1, claims_next: true, ..TWICE };
    in_process_runs_claim_the_next_with_their_result:
        Scope { events: 3, failures: 2, expiries: 2, relays: 2, ..IN_PROCESS },
        wide: Scope { events: 3, failures: 2, expiries: 2, relays: 2, crashes: 1, ..IN_PROCESS };
    in_process_runs_without_claiming_the_next:
        Scope { events: 3, failures: 2, expiries: 2, relays: 2, claims_next: false, ..IN_PROCESS },
        wide: Scope { events: 3, failures: 2, expiries: 2, relays: 2, claims_next: false, ..IN_PROCESS };
    in_process_runs_with_crashes_and_unknown_outcomes:
        Scope { crashes: 1, unknowns: 2, ..IN_PROCESS },
        wide: Scope { events: 3, failures: 2, crashes: 1, unknowns: 2, ..IN_PROCESS };
    runs_that_are_given_back:
        Scope { give_backs: 2, failures: 1, events: 3, unknowns: 1, ..TWICE },
        wide: Scope { give_backs: 2, failures: 2, events: 3, unknowns: 1, crashes: 1, ..TWICE };

    two_takeovers_with_zombie_owners:
        Scope { takeovers: 2, events: 3, ..OWNED },
        wide: Scope { takeovers: 3, events: 3, failures: 2, ..OWNED };
    a_takeover_a_crash_and_an_unknown_outcome:
        Scope { crashes: 1, unknowns: 1, ..OWNED },
        wide: Scope { events: 3, crashes: 1, unknowns: 1, ..OWNED };
    a_takeover_beside_in_process_runs:
        Scope { way: Way::InProcess, claims_next: true, runners: 2, expiries: 1, ..OWNED },
        wide: Scope { way: Way::InProcess, claims_next: true, crashes: 1, runners: 2, relays: 2, expiries: 1, ..OWNED };

    pauses_and_refreshes_of_the_cache:
        Scope { events: 3, failures: 2, refreshes: 2, operations: 2, actions: PAUSES, ..BASE },
        wide: Scope { events: 4, failures: 2, refreshes: 2, operations: 2, actions: PAUSES, ..BASE };
    pauses_refreshes_and_a_crash:
        Scope { refreshes: 2, crashes: 1, operations: 2, actions: PAUSES, ..BASE },
        wide: Scope { events: 3, refreshes: 2, crashes: 1, operations: 2, actions: PAUSES, ..BASE };
    batches_are_decided_again_after_a_run:
        Scope { events: 4, batch: 2, failures: 2, crashes: 1, ..BASE },
        wide: Scope { events: 4, batch: 2, failures: 3, crashes: 1, unknowns: 1, ..BASE };
    unknown_outcomes_everywhere:
        Scope { events: 3, failures: 2, unknowns: 3, ..BASE },
        wide: Scope { events: 3, failures: 2, unknowns: 3, crashes: 1, ..BASE };

    one_operation_of_any_kind:
        Scope { events: 4, failures: 2, operations: 1, actions: EVERY, ..BASE },
        wide: Scope { events: 4, failures: 2, operations: 1, actions: EVERY, ..BASE };
    two_operations_of_any_kind:
        Scope { failures: 2, operations: 2, actions: EVERY, ..BASE },
        wide: Scope { failures: 2, crashes: 1, operations: 2, actions: EVERY, ..BASE };
    conflicts_and_what_operators_do_about_them:
        Scope { events: 3, failures: 2, impostors: 2, operations: 2, actions: VOIDS, ..BASE },
        wide: Scope { events: 3, failures: 2, crashes: 1, impostors: 2, operations: 3, actions: VOIDS, ..BASE };
    conflicts_beside_in_process_runs_and_pauses:
        Scope { impostors: 1, operations: 2, actions: &[Op::Void, Op::Pause, Op::Resume], ..IN_PROCESS },
        wide: Scope { events: 3, impostors: 2, operations: 2, actions: VOIDS, ..IN_PROCESS };
    operations_beside_redelivery_and_an_early_look:
        Scope { operations: 1, actions: EVERY, early_looks: 1, ..TWICE },
        wide: Scope { failures: 2, operations: 2, actions: EVERY, early_looks: 1, ..TWICE };
    operations_beside_in_process_runs:
        Scope { operations: 1, actions: EVERY, events: 3, failures: 2, ..IN_PROCESS },
        wide: Scope { operations: 2, actions: EVERY, events: 3, failures: 2, relays: 2, ..IN_PROCESS };
    operations_beside_a_crash_and_give_backs:
        Scope { operations: 1, actions: EVERY, crashes: 1, give_backs: 1, ..BASE },
        wide: Scope { operations: 2, actions: EVERY, crashes: 1, give_backs: 1, ..BASE };
    operations_beside_a_shared_stream:
        Scope { operations: 1, actions: EVERY, ..SHARED },
        wide: Scope { operations: 2, actions: EVERY, ..SHARED };
    every_park_is_mirrored_whoever_dies:
        Scope {  failures: 2, attempts_max: 1, crashes: 1, unknowns: 1, relays: 2, early_looks: 1, ..MIRROR },
        wide: Scope { events: 3, failures: 3, attempts_max: 2, crashes: 2, unknowns: 1, relays: 2, early_looks: 1, ..MIRROR };
    every_park_is_mirrored_beside_operations:
        Scope { failures: 2, attempts_max: 1, relays: 2, operations: 2, actions: EVERY, ..MIRROR },
        wide: Scope { events: 3, failures: 2, attempts_max: 2, relays: 2, early_looks: 1, operations: 2, actions: EVERY, ..MIRROR };
    every_park_is_mirrored_beside_in_process_runs:
        Scope { mirror: true, mirror_faults: 1, operations: 1, actions: EVERY, give_backs: 1, attempts_max: 2, failures: 2, ..IN_PROCESS },
        wide: Scope { mirror: true, mirror_faults: 1, events: 3, operations: 2, actions: EVERY, give_backs: 1, attempts_max: 2, failures: 2, ..IN_PROCESS };
    an_operator_who_mirrors_does_nothing_else:
        Scope { attempts_max: 2, relays: 2, operations: 2, actions: &[Op::Mirror, Op::Park, Op::Skip, Op::Resume], ..MIRROR },
        wide: Scope { events: 3, failures: 2, crashes: 1, attempts_max: 2, relays: 2, operations: 2, actions: &[Op::Mirror, Op::Park, Op::Skip, Op::Resume], ..MIRROR };
    every_conflict_is_mirrored:
        Scope { impostors: 2, operations: 1, actions: VOIDS, relays: 2, ..MIRROR },
        wide: Scope { events: 3, impostors: 2, operations: 2, actions: VOIDS, relays: 2, crashes: 1, ..MIRROR };
    a_killer_is_mirrored:
        Scope { mirror: true, mirror_faults: 1, relays: 2, ..KILLER },
        wide: Scope { mirror: true, mirror_faults: 1, events: 3, relays: 2, operations: 1, actions: &[Op::Park, Op::Resume], ..KILLER };
    operations_beside_parking_attempts:
        Scope { operations: 2, actions: EVERY, attempts_max: 2, expiries: 1, ..BASE },
        wide: Scope { operations: 2, actions: EVERY, failures: 2, attempts_max: 2, expiries: 1, events: 3, ..BASE };

    the_first_event_kills_its_process:
        Scope { events: 4, failures: 2, ..KILLER },
        wide: Scope { events: 4, failures: 2, ..KILLER };
    the_second_event_kills_its_process:
        Scope { events: 3, failures: 1, killer: 2, ..KILLER },
        wide: Scope { events: 4, failures: 2, killer: 2, ..KILLER };
    a_killer_in_process:
        Scope { events: 3, failures: 2, killer: 2, way: Way::InProcess, claims_next: true, runners: 2, ..KILLER },
        wide: Scope { events: 3, failures: 2, killer: 2, way: Way::InProcess, claims_next: true, runners: 2, ..KILLER };
    a_killer_on_a_shared_stream:
        Scope { shared: true, processes: 2, runners: 2, batch: 2, events: 3, failures: 1, ..KILLER },
        wide: Scope { shared: true, processes: 2, runners: 2, batch: 2, events: 3, failures: 1, ..KILLER };
    /// Suspicion ends: what comes after the last suspect runs at once.
    a_killer_and_few_events_under_way:
        Scope { events: 4, killer: 3, uncommitted_max: 2, failures: 1, unknowns: 1, ..KILLER },
        wide: Scope { events: 4, killer: 3, uncommitted_max: 2, failures: 2, unknowns: 2, crashes: 1, ..KILLER };
    a_crash_and_a_takeover_with_few_events_under_way:
        Scope { events: 3, uncommitted_max: 1, crashes: 1, ..OWNED },
        wide: Scope { events: 4, uncommitted_max: 2, failures: 2, unknowns: 1, crashes: 1, ..OWNED };
    two_crashes_with_suspects:
        Scope { events: 3, failures: 0, crashes: 2, ..BASE },
        wide: Scope { events: 3, failures: 1, crashes: 2, processes: 2, takeovers: 1, ..BASE };

    a_limit_of_one_held_event:
        Scope { events: 4, held_max: 2, failures: 2, early_looks: 1, ..BASE },
        wide: Scope { events: 4, held_max: 2, failures: 2, crashes: 1, ..BASE };
    a_limit_with_in_process_runs:
        Scope { events: 4, held_max: 2, crashes: 1, way: Way::InProcess, claims_next: true, ..BASE },
        wide: Scope { events: 4, held_max: 2, crashes: 1, way: Way::InProcess, claims_next: true, ..BASE };

    a_shared_stream_whose_messages_come_back:
        Scope { events: 3, ..SHARED },
        wide: Scope { events: 3, failures: 2, visibilities: 2, ..SHARED };
    a_shared_stream_with_a_crash_and_an_unknown_outcome:
        Scope { crashes: 1, unknowns: 1, ..SHARED },
        wide: Scope { events: 3, crashes: 1, unknowns: 1, ..SHARED };
    a_shared_stream_beside_a_shared_retry_stream:
        Scope { runners: 2, expiries: 1, ..SHARED },
        wide: Scope { runners: 2, expiries: 1, failures: 2, ..SHARED };
    /// Its claim's copy is delivered again, its messages come back, and both may be late.
    late_calls_on_a_shared_stream:
        Scope { crashes: 1, runners: 2, expiries: 1, polite: true, visibilities: 0, ..SHARED },
        wide: Scope { crashes: 1, runners: 2, expiries: 1, polite: true, failures: 2, ..SHARED };
    operations_beside_a_takeover:
        Scope { operations: 1, actions: EVERY, ..OWNED },
        wide: Scope { operations: 2, actions: EVERY, unknowns: 1, refreshes: 1, ..OWNED };
    operations_beside_unknown_outcomes:
        Scope { operations: 1, actions: EVERY, unknowns: 1, claims_next: true, way: Way::Both, ..BASE },
        wide: Scope { operations: 2, actions: EVERY, unknowns: 2, claims_next: true, way: Way::Both, ..BASE };
    operations_beside_a_limit:
        Scope { events: 3, held_max: 1, operations: 2, actions: EVERY, ..BASE },
        wide: Scope { events: 4, held_max: 2, operations: 2, actions: EVERY, crashes: 1, ..BASE };
    in_process_runs_that_are_given_back:
        Scope { events: 3, give_backs: 2, unknowns: 1, ..IN_PROCESS },
        wide: Scope { events: 3, give_backs: 2, unknowns: 2, crashes: 1, ..IN_PROCESS };
    a_killer_beside_operations:
        Scope { operations: 1, actions: &[Op::Park, Op::Pause, Op::Resume, Op::Skip], ..KILLER },
        wide: Scope { operations: 2, events: 3, actions: &[Op::Park, Op::Pause, Op::Resume, Op::Skip], ..KILLER };
}
