//! `observe_only`: nothing changes, and what would have been held is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Mutex, time::Duration};

use ordered_consumer::{
    Clock, Event, Handler, HandlerError, Index, ObserveOnly, OrderedConsumer, RetryPolicy, StreamName,
    Timestamp, in_memory_broker::InMemoryBroker, permanent, unavailable,
};
use ordered_consumer_tests::{Act, Scripted};

fn clock() -> Clock {
    Clock::manual(Timestamp::from_micros(1_700_000_000_000_000))
}

/// Tries again after 10 s, 10 s and 10 s, then parks; none in place.
fn policy() -> RetryPolicy {
    RetryPolicy::fixed(Duration::from_secs(10)).immediate(0).attempts_max(4)
}

fn observed(handler: Scripted, clock: &Clock) -> ObserveOnly<Scripted> {
    OrderedConsumer::observe_only("billing", handler).with_retry_policy(policy()).with_clock(clock.clone())
}

fn event(index: u128, entity: &str, text: &str) -> Event {
    Event::builder(StreamName::new("orders/0").unwrap(), Index::new(index), entity.to_owned())
        .payload(text.to_owned())
        .build()
}

fn failing(texts: &'static [&'static str]) -> Scripted {
    Scripted::new(|text, _| Act::succeed_if(!texts.contains(&text)))
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn every_event_runs_once_and_errors_pass_through_as_they_are() {
    async fn handler(event: Event) -> Result<(), HandlerError> {
        match event.index().get() {
            1 => Err(permanent("for good")),
            2 => Err(unavailable("away")),
            3 => Err("plain".into()),
            _ => Ok(()),
        }
    }
    let observed = OrderedConsumer::observe_only("billing", handler);
    let mut told = Vec::new();
    for index in 1..=5 {
        let done = observed.handle(event(index, "e", "")).await;
        told.push(done.map_err(|error| (error.kind(), error.text())));
    }
    for (told, index) in told.iter().zip(1..) {
        let bare = handler(event(index, "e", "")).await.map_err(|error| (error.kind(), error.text()));
        assert_eq!(*told, bare);
    }
    assert_eq!(observed.observer().report().total().runs, 5);
}

#[tokio::test]
async fn later_events_of_a_failed_entity_are_what_would_be_held_and_for_as_long_as_retries_would_take() {
    let clock = clock();
    let observed = observed(failing(&["a1"]), &clock);
    let observer = observed.observer();
    let run = async |index, entity: &str, text: &str| drop(observed.handle(event(index, entity, text)).await);
    run(1, "a", "a1").await;
    clock.advance(2 * SECOND);
    run(2, "b", "b1").await;
    // It succeeds, so that the failed one would at its next attempt, ten seconds after it failed.
    run(3, "a", "a2").await;
    clock.advance(3 * SECOND);
    run(4, "a", "a3").await;
    let now = observer.report().total();
    assert_eq!((now.gated_now, now.held_now, now.would_hold), (1, 2, 2));
    clock.advance(5 * SECOND);
    run(5, "a", "a4").await;
    let seen = observer.report().total();
    assert_eq!((seen.runs, seen.failed, seen.entities_failed, seen.gated), (5, 1, 1, 1));
    assert_eq!(
        (seen.would_hold, seen.would_park, seen.gated_now),
        (2, 0, 0),
        "a4 comes after the gate is gone"
    );
    assert_eq!(seen.longest_hold, 8 * SECOND, "a2");
    assert_eq!(seen.total_hold, 13 * SECOND, "a2 and a3");
    assert_eq!(seen.longest_gate, 10 * SECOND);
}

#[tokio::test]
async fn without_a_success_the_entity_would_be_parked_and_go_on_holding() {
    let clock = clock();
    let observed = observed(failing(&["a1", "a2"]), &clock);
    let run = async |index, text: &str| drop(observed.handle(event(index, "a", text)).await);
    run(1, "a1").await;
    clock.advance(SECOND);
    run(2, "a2").await;
    assert_eq!(observed.observer().report().total().gated, 1, "it would not have run");
    clock.advance(100 * SECOND);
    run(3, "a3").await;
    clock.advance(100 * SECOND);
    let seen = observed.observer().report().total();
    assert_eq!((seen.would_park, seen.would_hold, seen.held_now), (1, 2, 2));
    assert_eq!(seen.longest_hold, 200 * SECOND, "until now, because nobody can say when an operator comes");
    assert_eq!(seen.total_hold, 300 * SECOND);
}

#[tokio::test]
async fn what_the_loop_itself_tries_again_ends_the_gate_and_overtakes_nobody() {
    let clock = clock();
    let handler = Scripted::new({
        let left = Mutex::new(2);
        move |_, _| {
            let mut left = left.lock().unwrap();
            *left -= i32::from(*left > 0);
            Act::succeed_if(*left == 0)
        }
    });
    let observed = observed(handler, &clock);
    for _ in 0..3 {
        drop(observed.handle(event(1, "a", "a1")).await);
        clock.advance(SECOND);
    }
    clock.advance(30 * SECOND);
    observed.handle(event(2, "a", "a2")).await.unwrap();
    let seen = observed.observer().report().total();
    assert_eq!((seen.failed, seen.gated, seen.would_hold, seen.gated_now), (1, 1, 0, 0));
}

#[tokio::test]
async fn memory_is_bounded_and_what_is_forgotten_is_counted() {
    let clock = clock();
    let observed = observed(Scripted::new(|_, _| Act::Fail("always")), &clock).entities_max(10);
    for index in 0..1_000 {
        drop(observed.handle(event(index, &format!("e{index}"), "x")).await);
    }
    let report = observed.observer().report();
    assert_eq!((report.forgotten, report.total().gated_now), (990, 10));
    // Those that were heard of last are remembered.
    drop(observed.handle(event(2_000, "e995", "x")).await);
    drop(observed.handle(event(2_001, "e5", "x")).await);
    let seen = observed.observer().report().total();
    assert_eq!((seen.would_hold, seen.entities_failed), (1, 1_001));
    assert!(observed.observer().report().to_string().contains("991 entities were forgotten"));
}

#[tokio::test]
async fn a_source_is_observed_without_a_failure_log_and_every_event_is_acknowledged() {
    let broker = InMemoryBroker::new();
    broker.create_topic("orders", 1).unwrap();
    for (entity, text) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        broker.publish("orders", entity, text).unwrap();
    }
    broker.close_topic("orders").unwrap();
    let (clock, told) = (clock(), Mutex::new(Vec::new()));
    let observed = observed(failing(&["a1"]), &clock);
    let source = broker.subscribe("billing", &["orders"]).unwrap();
    let tell = |event: &Event, error: &HandlerError| {
        told.lock().unwrap().push((event.index().get(), error.text()));
    };
    observed.run_until(source, tell, std::future::pending()).await.unwrap();
    assert_eq!(broker.lag("billing"), 0);
    assert_eq!(told.into_inner().unwrap(), [(0, "as the test says".to_owned())]);
    let seen = observed.observer().report();
    assert_eq!((seen.total().runs, seen.total().would_hold, seen.streams.len()), (3, 1, 1));
}

#[test]
fn the_example_runs_without_services_and_tells_the_same_every_time() {
    let (first, second) = (
        ordered_consumer_examples::observe_only::observe().unwrap(),
        ordered_consumer_examples::observe_only::observe().unwrap(),
    );
    assert_eq!(first, second);
    let seen = first.total();
    assert_eq!(seen.runs, 3_514, "every row of the file runs once");
    assert_eq!((seen.failed, seen.would_hold, seen.would_park), by_hand(), "{first}");
    assert!(seen.would_park > 0 && seen.failed > 8 && seen.total_hold > Duration::from_secs(60), "{first}");
}

/// Failures, events that would be held, and orders that would be parked, reckoned anew from the file by the example's rules:
/// payments of orders whose number divides by forty fail for good; while the bank is away, requests fail, and would be
/// tried again after 1, 2, 4 … 256, 300, 300 … s: fifteen times in all.
fn by_hand() -> (u64, u64, u64) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/orders.csv");
    let mut rows: Vec<Vec<String>> = csv::Reader::from_path(path)
        .unwrap()
        .records()
        .map(|row| row.unwrap().iter().map(str::to_owned).collect())
        .collect();
    rows.sort_by(|a, b| a[2].cmp(&b[2]));
    let millis = |time: &str| -> u64 {
        // All are of March 2025.
        let part = |from: usize, to: usize| time[from..to].parse::<u64>().unwrap();
        assert!(time.starts_with("2025-03") || time.starts_with("2025-04"), "{time}");
        let day = part(8, 10) + if time.starts_with("2025-04") { 31 } else { 0 };
        ((day * 24 + part(11, 13)) * 60 + part(14, 16)) * 60_000 + part(17, 19) * 1_000 + part(20, 23)
    };
    // When an order failed, whether for good, and when it would be free again.
    let mut gates = std::collections::HashMap::<String, (u64, bool, Option<u64>)>::new();
    let (mut failures, mut held, mut parked) = (0, 0, 0);
    for row in &rows {
        let number: u32 = row[0].trim_start_matches("order-").parse().unwrap();
        let at = millis(&row[2]);
        let for_good = number.is_multiple_of(40) && row[1] == "payment received";
        let away = row[1] == "payment requested"
            && row[2].as_str() >= "2025-03-05T09"
            && row[2].as_str() < "2025-03-05T15";
        failures += u64::from(for_good || away);
        if gates.get(&row[0]).is_some_and(|gate| gate.2.is_some_and(|free| free <= at)) {
            gates.remove(&row[0]);
        }
        match gates.get_mut(&row[0]) {
            Some((failed, parks, free)) => {
                held += 1;
                if *parks || free.is_some() || for_good || away {
                    continue;
                }
                let mut due = *failed;
                *free = (0..13).find_map(|retry| {
                    due += 1_000 * (1_u64 << retry).min(300);
                    (due >= at).then_some(due)
                });
                if free.is_none() {
                    (*parks, parked) = (true, parked + 1);
                }
            }
            None if for_good || away => {
                parked += u64::from(for_good);
                gates.insert(row[0].clone(), (at, for_good, None));
            }
            None => {}
        }
    }
    (failures, held, parked)
}
