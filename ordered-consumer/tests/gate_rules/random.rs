//! Whatever comes in whatever order: no step panics, and the gate agrees with its rows and with itself.

use std::time::Duration;

use ordered_consumer::{
    ParkCause,
    gate::{Action, Arrival, Gate, Input, Next, Settings, State},
};
use proptest::{
    prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof},
    sample::select,
    test_runner::TestCaseError,
};

use crate::log::{Log, event_with, failure, index, settings, token};

/// One input, or time that passes.
#[derive(Clone, Debug)]
enum Event {
    Input(Input),
    /// An operator who looks, and acts at once.
    Act(Action),
    Later(Duration),
}

fn an_index() -> impl Strategy<Value = u128> {
    select(vec![0, 1, 2, 3, u128::MAX - 1, u128::MAX])
}

fn a_next() -> impl Strategy<Value = Next> {
    let waits = vec![Duration::ZERO, Duration::from_secs(5), Duration::MAX];
    prop_oneof![select(waits).prop_map(Next::Retry), Just(Next::Park(ParkCause::Exhausted))]
}

fn an_arrival() -> impl Strategy<Value = Arrival> {
    let payloads = select(vec!["payload", "payload", "payload", "another"]);
    (an_index(), payloads, any::<bool>())
        .prop_map(|(at, payload, suspect)| Arrival { event: event_with(at, payload), suspect })
}

fn an_action() -> impl Strategy<Value = Action> {
    let fixed =
        vec![Action::Retry, Action::Park, Action::Skip, Action::Pause, Action::Resume, Action::Mirror];
    prop_oneof![select(fixed), an_index().prop_map(|at| Action::DiscardThrough(index(at)))]
}

fn a_result() -> impl Strategy<Value = Input> {
    let tokens = 1_u128..4;
    prop_oneof![
        (tokens.clone(), any::<bool>(), any::<bool>()).prop_map(|(by, in_process, chains)| Input::Resolve {
            token: token(by),
            in_process,
            next: chains.then(|| token(by % 3 + 1)),
            ignored: None
        }),
        (tokens.clone(), a_next()).prop_map(|(by, next)| Input::FailAgain {
            token: token(by),
            failure: failure(),
            next
        }),
        tokens.clone().prop_map(|by| Input::GiveBack { token: token(by), after: Duration::from_secs(1) }),
        tokens.prop_map(|by| Input::Renew { token: token(by) }),
    ]
}

fn an_event() -> impl Strategy<Value = Event> {
    let times = vec![Duration::from_secs(1), Duration::from_secs(60), Duration::MAX];
    prop_oneof![
        proptest::collection::vec(an_arrival(), 1..4).prop_map(|mut events| {
            events.sort_by_key(|arrival| arrival.event.index());
            Event::Input(Input::Arrive { events })
        }),
        (an_arrival(), 0_u32..3, a_next()).prop_map(|(arrival, attempts, next)| {
            Event::Input(Input::Fail { event: arrival.event, attempts, failure: failure(), next })
        }),
        Just(Event::Input(Input::Take)),
        (an_index(), 0_u64..60).prop_map(|(at, version)| {
            Event::Input(Input::Mirrored { index: index(at), version, refused: None })
        }),
        (an_index(), 0_u32..3, 1_u128..4).prop_map(|(at, attempts, by)| {
            Event::Input(Input::Claim { index: index(at), attempts, token: token(by) })
        }),
        a_result().prop_map(Event::Input),
        an_action().prop_map(Event::Act),
        select(times).prop_map(Event::Later),
    ]
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 2_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_order_of_inputs_panics_or_leaves_a_gate_that_contradicts_itself(
        events in proptest::collection::vec(an_event(), 1..60),
        mirror_parked in any::<bool>(),
    ) {
        let limits = Settings {
            held_events_max: 4, held_bytes_max: 60, attempts_max: 3, mirror_parked, ..settings()
        };
        let mut log = Log::new(limits);
        for event in events {
            let before = log.gate.clone();
            let input = match event {
                Event::Input(input) => input,
                Event::Act(action) => log.operation(action),
                Event::Later(after) => {
                    log.later(after);
                    continue;
                }
            };
            log.step(&input);
            if let Some(gate) = &log.gate {
                agrees(gate, &log)?;
            } else {
                prop_assert!(log.rows.is_empty());
            }
            version_tells(before.as_ref(), log.gate.as_ref())?;
        }
    }
}

fn agrees(gate: &Gate, log: &Log) -> Result<(), TestCaseError> {
    prop_assert_eq!(gate.head, log.rows.keys().next().copied());
    prop_assert_eq!(gate.held_events, log.rows.len() as u64);
    prop_assert_eq!(gate.held_bytes, log.rows.values().map(|event| event.size() as u64).sum::<u64>());
    prop_assert_eq!(gate.head.is_some(), gate.released.is_some());
    prop_assert!(gate.released >= gate.head);
    prop_assert!(gate.head.is_none() || gate.resolved < gate.head);
    prop_assert!(gate.claim.is_none() || gate.head.is_some());
    let waits = gate.state() == State::Waiting || gate.claim.is_some();
    let mirrors = log.settings.mirror_parked && gate.state() == State::Parked && gate.claim.is_none();
    prop_assert!(mirrors || gate.due_at.is_some() == waits);
    Ok(())
}

/// Versions change with head, state and attempts, and never go back.
fn version_tells(before: Option<&Gate>, after: Option<&Gate>) -> Result<(), TestCaseError> {
    let seen = |gate: &Gate| (gate.head, gate.state(), gate.attempts);
    if let (Some(before), Some(after)) = (before, after) {
        prop_assert!(after.version >= before.version);
        prop_assert!(seen(before) == seen(after) || after.version > before.version);
    }
    Ok(())
}
