//! Scenarios 53 to 55, and "bad input": events that cannot be taken say so and stay with their broker, and events of
//! any bytes come back as they were.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{error::Error, sync::Arc};

use bytes::Bytes;
use ordered_consumer::{
    ENTITY_BYTES_MAX, Event, EventBuilder, EventError, FailureLog, HEADERS_BYTES_MAX, HEADERS_MAX, Headers,
    Index, Limits, MemoryFailureLog, OrderedConsumer, Outcome, ParkCause, ProcessError, StreamName,
    in_memory_broker::NewEvent,
};
use ordered_consumer_tests::{
    Keeper, Running, Scripted, World, eventually, on_both_logs,
    world::{NAME, TOPIC, at_once, consumer, gates, operator},
};

const PAYLOAD_BYTES_MAX: usize = 100;
/// NUL, bytes that are no UTF-8, what SQL, shells and terminals act upon.
const ANY_BYTES: &[u8] = b"\0\xff\xfe\xc3\x28'; drop table gates; --%_\x1b[2J\r\n\0";

on_both_logs!(
    each_event_that_cannot_be_taken_has_its_own_error_and_leaves_nothing,
    an_event_at_every_limit_fails_is_held_and_is_handled,
    an_event_that_cannot_be_taken_stops_its_stream_alone_and_is_named_and_not_lost,
    any_bytes_survive_failing_being_held_and_the_way_back,
    any_bytes_survive_the_way_back_through_the_broker,
    a_null_payload_and_an_empty_one_come_back_as_they_were,
    keys_that_look_alike_are_entities_of_their_own,
    the_highest_index_fails_is_held_and_is_resolved,
    another_event_at_a_logged_index_parks_the_entity_and_a_retry_runs_the_logged_one,
);

fn stream() -> StreamName {
    StreamName::new("orders/0").unwrap()
}

fn event(index: u128, entity: impl Into<Bytes>) -> EventBuilder {
    Event::builder(stream(), Index::new(index), entity)
}

fn keeping(keeper: &Keeper, log: &Arc<dyn FailureLog>) -> OrderedConsumer<Keeper> {
    OrderedConsumer::new(NAME, keeper.clone(), Arc::clone(log))
        .with_retry_policy(at_once())
        .with_limits(Limits { payload_bytes_max: PAYLOAD_BYTES_MAX, ..Limits::default() })
}

/// Waits until so many events were handled, and nothing is held any more.
async fn until_handled(keeper: &Keeper, log: &Arc<dyn FailureLog>, events: usize) {
    eventually("everything is handled", || keeper.handled().len() == events).await;
    for _ in 0..1_000 {
        if gates(log).await.is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("something is held still");
}

/// Asserts that two events are the same in everything that their producer said.
fn assert_same(came: &Event, sent: &Event) {
    assert_eq!((came.stream(), came.index()), (sent.stream(), sent.index()));
    assert_eq!(came.entity(), sent.entity());
    assert_eq!((came.id(), came.event_type()), (sent.id(), sent.event_type()));
    // Not by `assert_eq`, which shows only how large they are.
    assert!(came.headers() == sent.headers(), "order, repeats and nulls are kept");
    assert_eq!(came.payload(), sent.payload());
}

/// An event of whatever bytes everywhere, with repeated and null headers.
fn of_any_bytes(index: u128) -> Event {
    let mut headers = Headers::default();
    for value in [Some(Bytes::from_static(ANY_BYTES)), None, Some(Bytes::new())] {
        headers.push(Bytes::from_static(ANY_BYTES), value.clone());
        headers.push(Bytes::new(), value);
    }
    event(index, ANY_BYTES).id(ANY_BYTES).event_type(ANY_BYTES).headers(headers).payload(ANY_BYTES).build()
}

async fn each_event_that_cannot_be_taken_has_its_own_error_and_leaves_nothing(log: Arc<dyn FailureLog>) {
    let keeper = Keeper::failing(1);
    let consumer = keeping(&keeper, &log);
    let too_long = ENTITY_BYTES_MAX + 1;
    let headers = (0..=HEADERS_MAX).fold(event(4, "e"), |event, _| event.header("h", ""));
    let cases = [
        (event(1, ""), EventError::EmptyEntity),
        (event(2, vec![0; too_long]), EventError::EntityTooLong { bytes: too_long }),
        (
            event(3, "e").payload(vec![0; PAYLOAD_BYTES_MAX + 1]),
            EventError::PayloadTooLarge { bytes: PAYLOAD_BYTES_MAX + 1, max: PAYLOAD_BYTES_MAX },
        ),
        (headers, EventError::TooManyHeaders { count: HEADERS_MAX + 1 }),
        (
            event(u128::MAX, "e").header("", vec![0; HEADERS_BYTES_MAX + 1]),
            EventError::HeadersTooLarge { bytes: HEADERS_BYTES_MAX + 1 },
        ),
    ];
    for (event, wrong) in cases {
        let event = event.build();
        let refused = consumer.process(event.clone()).await.unwrap_err();
        assert!(matches!(&refused, ProcessError::BadEvent { source, .. } if *source == wrong), "{refused:?}");
        assert!(refused.to_string().contains(&event.to_string()), "{refused} does not name {event}");
        assert!(refused.source().is_some_and(|source| source.to_string() == wrong.to_string()));
        assert!(!refused.is_transient(), "{refused}");
    }
    assert_eq!(keeper.runs(), 0);
    let totals = consumer.operator("ann").unwrap().totals().await.unwrap();
    assert_eq!((totals.gated_entities, totals.held_events), (0, 0));
}

async fn an_event_at_every_limit_fails_is_held_and_is_handled(log: Arc<dyn FailureLog>) {
    let keeper = Keeper::failing(1);
    let consumer = Arc::new(keeping(&keeper, &log));
    let largest = |index| event(index, vec![7; ENTITY_BYTES_MAX]).payload(vec![7; PAYLOAD_BYTES_MAX]).build();
    assert!(matches!(consumer.process(largest(1)).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(consumer.process(largest(2)).await.unwrap(), Outcome::Held);
    let retries = Running::start_retries(Arc::clone(&consumer));
    until_handled(&keeper, &log, 2).await;
    retries.stop().await;
    assert_same(&keeper.handled()[0], &largest(1));
    assert_same(&keeper.handled()[1], &largest(2));
}

async fn an_event_that_cannot_be_taken_stops_its_stream_alone_and_is_named_and_not_lost(
    log: Arc<dyn FailureLog>,
) {
    let world = World::with_partitions(2);
    let send = |partition, key: &'static str, text: String| {
        world.broker.publish_to(TOPIC, partition, NewEvent::new(key, text)).unwrap();
    };
    send(0, "a", "a1".to_owned());
    send(0, "b", "x".repeat(PAYLOAD_BYTES_MAX + 1));
    send(0, "a", "a2".to_owned());
    let handler = Scripted::calm();
    let limits = |payload_bytes_max| Limits { payload_bytes_max, ..Limits::default() };
    let first = consumer(&handler, Arc::clone(&log)).with_limits(limits(PAYLOAD_BYTES_MAX));
    let first = Running::start(first, world.source());
    eventually("it stops", || !first.stopped_streams().is_empty()).await;
    eventually("what came before it is handled", || world.broker.lag(NAME) == 2).await;
    send(1, "c", "c1".to_owned());
    eventually("the other stream goes on", || handler.runs.has("c1")).await;
    let stopped = first.stopped_streams();
    assert_eq!(stopped.len(), 1);
    assert_eq!(stopped[0].0, world.stream(0));
    assert!(stopped[0].1.contains("event 1"), "it names the event: {}", stopped[0].1);
    assert!(stopped[0].1.contains("101 bytes"), "and says what is wrong: {}", stopped[0].1);
    assert_eq!((first.stats().stopped, handler.runs.times("a2")), (1, 0));
    first.stop().await;
    let second = consumer(&handler, Arc::clone(&log)).with_limits(limits(PAYLOAD_BYTES_MAX + 1));
    let second = Running::start(second, world.source());
    eventually("everything is handled once the limit is raised", || handler.runs.has("a2")).await;
    eventually("and settled", || world.broker.lag(NAME) == 0).await;
    assert!(second.stopped_streams().is_empty());
    second.stop().await;
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2"]);
}

async fn any_bytes_survive_failing_being_held_and_the_way_back(log: Arc<dyn FailureLog>) {
    let keeper = Keeper::failing(2);
    let consumer = Arc::new(keeping(&keeper, &log));
    assert!(matches!(consumer.process(of_any_bytes(1)).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(consumer.process(of_any_bytes(2)).await.unwrap(), Outcome::Held);
    let operator = operator(Arc::clone(&log));
    let seen = gates(&log).await.remove(0);
    let held = operator.inspect(&seen.key).await.unwrap().unwrap().held;
    assert_eq!(held.len(), 2);
    assert_same(&held[0], &of_any_bytes(1));
    assert_same(&held[1], &of_any_bytes(2));
    let text = operator.explain(ANY_BYTES).await.unwrap();
    assert!(text.contains("event 1 of stream orders/0") && text.contains("1 later event waits"), "{text}");
    assert_eq!(consumer.process(of_any_bytes(2)).await.unwrap(), Outcome::Duplicate);
    let retries = Running::start_retries(Arc::clone(&consumer));
    until_handled(&keeper, &log, 2).await;
    retries.stop().await;
    assert_same(&keeper.handled()[0], &of_any_bytes(1));
    assert_same(&keeper.handled()[1], &of_any_bytes(2));
}

async fn any_bytes_survive_the_way_back_through_the_broker(log: Arc<dyn FailureLog>) {
    let world = World::with(&[]);
    let sent = of_any_bytes(0);
    for _ in 0..2 {
        let new = NewEvent {
            key: sent.entity().clone(),
            id: sent.id().cloned(),
            event_type: sent.event_type().cloned(),
            headers: sent.headers().clone(),
            payload: sent.payload().cloned(),
            time: None,
        };
        world.broker.publish_event(TOPIC, new).unwrap();
    }
    let keeper = Keeper::failing(1);
    let publishing = keeping(&keeper, &log).with_publisher(world.broker.retry_publisher(NAME));
    let running = Running::start(publishing, world.source().with_retry());
    until_handled(&keeper, &log, 2).await;
    assert!(running.stats().published >= 2);
    running.stop().await;
    assert_same(&keeper.handled()[0], &sent);
    assert_same(&keeper.handled()[1], &of_any_bytes(1));
}

async fn a_null_payload_and_an_empty_one_come_back_as_they_were(log: Arc<dyn FailureLog>) {
    let keeper = Keeper::failing(1);
    let consumer = Arc::new(keeping(&keeper, &log));
    consumer.process(event(1, "e").build()).await.unwrap();
    consumer.process(event(2, "e").payload("").id("").event_type("").build()).await.unwrap();
    let retries = Running::start_retries(Arc::clone(&consumer));
    until_handled(&keeper, &log, 2).await;
    retries.stop().await;
    let handled = keeper.handled();
    assert_eq!((handled[0].payload(), handled[0].id(), handled[0].event_type()), (None, None, None));
    let empty = Bytes::new();
    assert_eq!(
        (handled[1].payload(), handled[1].id(), handled[1].event_type()),
        (Some(&empty), Some(&empty), Some(&empty))
    );
}

async fn keys_that_look_alike_are_entities_of_their_own(log: Arc<dyn FailureLog>) {
    // Composed and decomposed; cases; trailing space and NUL; what LIKE would match; a text and a number to SQLite.
    let alike: [&[u8]; 12] = [
        "\u{e9}".as_bytes(),
        "e\u{301}".as_bytes(),
        b"k",
        b"K",
        b"k ",
        b"k\0",
        b"%",
        b"_",
        b"' or '1'='1",
        b"1",
        b"01",
        b"1.0",
    ];
    let keeper = Keeper::failing(1);
    let consumer = Arc::new(keeping(&keeper, &log));
    for (index, key) in (1..).zip(alike) {
        let outcome = consumer.process(event(index, key).build()).await.unwrap();
        assert!(
            matches!(outcome, Outcome::RetryScheduled { .. }),
            "{key:?} is held behind another: {outcome}"
        );
    }
    assert_eq!(gates(&log).await.len(), alike.len());
    let operator = operator(Arc::clone(&log));
    for (index, key) in (1..).zip(alike) {
        let text = operator.explain(key).await.unwrap();
        assert!(text.contains(&format!("event {index} of")) && text.lines().count() == 1, "{text}");
    }
    let retries = Running::start_retries(Arc::clone(&consumer));
    until_handled(&keeper, &log, alike.len()).await;
    retries.stop().await;
}

async fn the_highest_index_fails_is_held_and_is_resolved(log: Arc<dyn FailureLog>) {
    let keeper = Keeper::failing(1);
    let consumer = Arc::new(keeping(&keeper, &log));
    let indexes = [0, 9, 10, u128::from(u64::MAX), u128::from(u64::MAX) + 1, u128::MAX - 1, u128::MAX];
    for index in indexes {
        consumer.process(event(index, "e").build()).await.unwrap();
    }
    assert!(matches!(
        consumer.process(event(u128::MAX, "alone").build()).await.unwrap(),
        Outcome::RetryScheduled { .. }
    ));
    let retries = Running::start_retries(Arc::clone(&consumer));
    until_handled(&keeper, &log, indexes.len() + 1).await;
    retries.stop().await;
    let handled = keeper.handled();
    let of_e: Vec<u128> =
        handled.iter().filter(|event| event.entity() == "e").map(|event| event.index().get()).collect();
    assert_eq!(of_e, indexes, "they sort as numbers");
    for entity in ["e", "alone"] {
        let again = consumer.process(event(u128::MAX, entity).build()).await.unwrap();
        assert_eq!(again, Outcome::Duplicate, "of {entity}");
    }
}

async fn another_event_at_a_logged_index_parks_the_entity_and_a_retry_runs_the_logged_one(
    log: Arc<dyn FailureLog>,
) {
    let keeper = Keeper::failing(1);
    let consumer = Arc::new(keeping(&keeper, &log));
    let first = || event(1, "e").id("1").payload("first").build();
    let others = [
        event(1, "e").id("1").payload("another payload").build(),
        event(1, "e").id("another id").payload("first").build(),
        event(1, "e").payload("first").build(),
    ];
    assert!(matches!(consumer.process(first()).await.unwrap(), Outcome::RetryScheduled { .. }));
    for other in &others {
        let outcome = consumer.process(other.clone()).await.unwrap();
        assert_eq!(outcome, Outcome::Parked(ParkCause::Conflict));
    }
    for known in others.iter().chain([&first()]) {
        assert_eq!(consumer.process(known.clone()).await.unwrap(), Outcome::Duplicate, "it is kept already");
    }
    assert_eq!(consumer.process(event(2, "e").build()).await.unwrap(), Outcome::Held);
    let parked = gates(&log).await.remove(0);
    assert_eq!((parked.gate.parked, parked.gate.conflicts), (Some(ParkCause::Conflict), 3));
    let operator = operator(Arc::clone(&log));
    let text = operator.explain("e").await.unwrap();
    assert!(text.contains("parked") && text.contains("3 other events"), "{text}");
    operator.retry(&parked, "the first one is right").await.unwrap();
    let retries = Running::start_retries(Arc::clone(&consumer));
    until_handled(&keeper, &log, 2).await;
    retries.stop().await;
    assert_same(&keeper.handled()[0], &first());
    assert_eq!(keeper.handled()[1].index(), Index::new(2));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_an_event_that_cannot_be_taken_shows_nothing_of_its_key_or_payload() {
    let consumer = keeping(&Keeper::default(), &(Arc::new(MemoryFailureLog::new()) as Arc<dyn FailureLog>));
    let large = "p".repeat(PAYLOAD_BYTES_MAX + 1);
    for bad in [event(1, "k".repeat(ENTITY_BYTES_MAX + 1)), event(2, "kkk").payload(large)] {
        let error = consumer.process(bad.build()).await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains("kkk") && !text.contains("ppp"), "{text}");
    }
}
