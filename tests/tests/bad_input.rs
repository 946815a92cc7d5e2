//! Scenarios 53 to 57, and the limits: each bad input has its own error, names its event, and loses nothing.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{
    ENTITY_BYTES_MAX, Event, EventError, GateQuery, HandlerError, Index, Limits, MemoryFailureLog,
    OrderedConsumer, Outcome, ProcessError, RunError, SqliteFailureLog, StreamDecision, StreamName,
    in_memory_broker::NewEvent,
};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, World, eventually,
    world::{NAME, TOPIC, consumer, gates, operator},
};

fn event(entity: impl Into<Vec<u8>>, payload: impl Into<Vec<u8>>) -> Event {
    let stream = StreamName::new("queue").unwrap_or_else(|_| unreachable!("it is a name"));
    Event::builder(stream, Index::MAX, entity.into()).payload(payload.into()).build()
}

// Empty and oversized keys, oversized payloads.
#[tokio::test(start_paused = true)]
async fn what_cannot_be_taken_is_refused_by_its_own_error_that_names_the_event_and_not_its_content() {
    let handler = Scripted::calm();
    let limits = Limits { payload_bytes_max: 100, ..Limits::default() };
    let consumer = consumer(&handler, MemoryFailureLog::new()).with_limits(limits);
    let bad = [
        (event("", "p"), EventError::EmptyEntity),
        (event("k".repeat(1_025), "p"), EventError::EntityTooLong { bytes: 1_025 }),
        (event("k", "p".repeat(101)), EventError::PayloadTooLarge { bytes: 101, max: 100 }),
    ];
    for (event, expected) in bad {
        let error = consumer.process(event).await.unwrap_err();
        let ProcessError::BadEvent { event, source } = &error else { panic!("{error:?}") };
        assert_eq!((*source, event.index), (expected, Index::MAX));
        let text = format!("{error} {error:?}");
        assert!(text.contains(&u128::MAX.to_string()) && text.contains("queue"), "{text}");
        assert!(!text.contains("kkk") && !text.contains("ppp"), "{text}");
    }
    assert_eq!(consumer.process(event("k".repeat(1_024), "p".repeat(100))).await.unwrap(), Outcome::Handled);
}

// Scenario 54, and an oversized key, under `run`: the stream stops, others go on, and after a restart with a higher
// limit the event is handled.
#[tokio::test(start_paused = true)]
async fn an_event_over_the_limit_stops_its_stream_and_is_handled_once_the_limit_is_raised() {
    let world = World::with_partitions(2);
    let send = |partition, text: &str| {
        world.broker.publish_to(TOPIC, partition, NewEvent::new("a", text.to_owned())).unwrap();
    };
    let large = "x".repeat(50);
    for (partition, text) in [(0, "a1"), (0, &*large), (0, "a2"), (1, "b1")] {
        send(partition, text);
    }
    let handler = Scripted::calm();
    let limits = Limits { payload_bytes_max: 10, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("what is before it, and elsewhere, is handled", || handler.runs.succeeded().len() == 2).await;
    eventually("it stops", || running.stats().stopped == 1).await;
    let stopped = running.stopped_streams();
    assert_eq!((stopped.len(), &stopped[0].0), (1, &world.stream(0)));
    assert!(stopped[0].1.contains("50 bytes, 10 are allowed; raise"), "{}", stopped[0].1);
    send(1, "b2");
    eventually("the other stream goes on", || handler.runs.has("b2")).await;
    running.stop().await;
    assert_eq!(world.broker.committed(NAME, &world.stream(0)), Some(Index::MIN));
    let running = world.start(&handler);
    eventually("all are handled", || handler.runs.has("a2")).await;
    running.stop().await;
    assert_eq!(handler.runs.times(&large), 1);
}

/// Scenario 53 and 55: each of these must be an entity of its own.
fn entities() -> Vec<Vec<u8>> {
    let texts = [
        "caf\u{e9}",
        "cafe\u{301}",
        "'; DROP TABLE gates; --",
        "a%",
        "a_",
        "ab",
        "a*",
        "\"",
        "<b>",
        "\u{1b}[2J",
    ];
    let mut all: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    all.extend([vec![0], vec![0, 0], vec![0xff, 0xfe], vec![b'a', 0, b'b'], vec![b'k'; ENTITY_BYTES_MAX]]);
    all
}

// Scenarios 53 and 55.
#[tokio::test]
async fn any_bytes_are_taken_as_keys_ids_headers_and_payloads_and_come_back_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let log = SqliteFailureLog::open(directory.path().join("failures.db")).await.unwrap();
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let handler = {
        let seen = Arc::clone(&seen);
        move |event: Event| {
            let seen = Arc::clone(&seen);
            async move {
                if !event.context().redelivered {
                    return Err("once");
                }
                seen.lock().unwrap().push(event);
                Ok(())
            }
        }
    };
    let quick = ordered_consumer::RetryPolicy::fixed(Duration::from_secs(3_600)).immediate(0);
    let consumer = Arc::new(OrderedConsumer::new(NAME, handler, log.clone()).with_retry_policy(quick));
    let mut sent = Vec::new();
    for bytes in entities() {
        let stream = StreamName::new("a%_'; DROP TABLE gates; --").unwrap();
        let event =
            Event::builder(stream, Index::MAX, bytes.clone()).id(bytes.clone()).event_type(bytes.clone());
        let event = event.header(bytes.clone(), bytes.clone()).header("", "").payload(bytes).build();
        assert!(matches!(consumer.process(event.clone()).await.unwrap(), Outcome::RetryScheduled { .. }));
        sent.push(event);
    }
    assert_eq!(gates(&log).await.len(), sent.len(), "each is an entity of its own");
    for event in &sent {
        let query = GateQuery { entity: Some(event.entity().clone()), limit: 10, ..GateQuery::default() };
        let found = operator(log.clone()).list(&query).await.unwrap();
        assert_eq!(found.len(), 1);
        operator(log.clone()).retry(&found[0], "%_'").await.unwrap();
    }
    let retries = Running::start_retries(consumer);
    eventually("all came back", || seen.lock().unwrap().len() == sent.len()).await;
    retries.stop().await;
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.sort_by_key(|event| sent.iter().position(|sent| sent.entity() == event.entity()));
    for (sent, seen) in sent.iter().zip(&seen) {
        assert_eq!(
            (sent.index(), sent.id(), sent.event_type()),
            (seen.index(), seen.id(), seen.event_type())
        );
        assert_eq!((sent.headers(), sent.payload()), (seen.headers(), seen.payload()));
    }
}

/// An error whose chain of sources loops.
#[derive(Debug)]
struct Looping;

impl fmt::Display for Looping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("round")
    }
}

impl Error for Looping {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&Self)
    }
}

// Scenarios 56 and 57.
#[tokio::test(start_paused = true)]
async fn error_texts_of_a_megabyte_or_with_escapes_or_that_loop_are_kept_short_and_shown_safely() {
    type Fails = fn() -> HandlerError;
    let fails: [Fails; 3] =
        [|| "x".repeat(1 << 20).into(), || "\u{1b}[2J<script>\0\u{202e}".into(), || Looping.into()];
    for fails in fails {
        let log = MemoryFailureLog::new();
        let handler = move |_: Event| async move { Err::<(), _>(fails()) };
        let consumer = OrderedConsumer::new(NAME, handler, log.clone());
        let key = "\u{1b}[31mred";
        assert!(consumer.process(event(key, "\u{1b}[2J")).await.is_ok());
        let kept = gates(&log).await.remove(0);
        let text = &kept.gate.last_failure.as_ref().unwrap().text;
        assert!(text.len() <= 2_048 && !text.contains('\0'));
        let shown = operator(log.clone()).explain(key).await.unwrap();
        let debug = format!("{kept:?}");
        for shown in [&shown, &debug] {
            assert!(!shown.contains('\u{1b}') && !shown.contains('\u{202e}'), "{shown:?}");
            assert!(!shown.contains("red"), "no key is shown: {shown}");
        }
    }
}

// Wrong names.
#[tokio::test(start_paused = true)]
async fn names_that_cannot_be_used_are_refused_by_their_own_errors() {
    for (name, says) in
        [("", "at least one character"), ("a\nb", "control character"), (&"n".repeat(256), "256 bytes")]
    {
        let world = World::with(&["a1"]);
        let consumer = OrderedConsumer::new(name, Scripted::calm(), world.log.clone());
        let refused = consumer.run(world.source()).await.unwrap_err();
        let RunError::Name(why) = &refused else { panic!("{refused:?}") };
        assert!(why.to_string().contains(says), "{why}");
        assert!(matches!(consumer.process(event("a", "p")).await, Err(ProcessError::Name(_))));
        assert!(consumer.operator("ann").is_err() && StreamName::new(name).is_err());
    }
}

// A committed position that went back.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_position_went_back_stops_until_an_operator_says_replay() {
    let world = World::with(&["a1", "a2", "a3"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.broker.rewind(NAME, &world.stream(0), Index::MIN).unwrap();
    let running = world.start(&handler);
    eventually("it stops", || running.stats().stopped == 1).await;
    let (stream, why) = running.stopped_streams().remove(0);
    assert!(why.contains("`replay`") && why.contains("index 0"), "{why}");
    running.stop().await;
    assert_eq!(handler.runs.succeeded().len(), 3);
    world.operator().decide_stream(&stream, StreamDecision::Replay, "once more").await.unwrap();
    let running = world.start(&handler);
    eventually("they are handled again", || handler.runs.succeeded().len() == 6).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded()[3..], ["a1", "a2", "a3"]);
}

// Limits: held events of one entity. The stream waits, says so, and goes on.
#[tokio::test(start_paused = true)]
async fn over_the_limit_of_held_events_the_stream_waits_and_goes_on_once_some_are_resolved() {
    let world = World::with(&["a1", "a2", "a3", "a4", "a5", "b1"]);
    let open = Arc::new(AtomicBool::new(false));
    let handler = Scripted::new({
        let open = Arc::clone(&open);
        move |text, _| Act::succeed_if(text != "a1" || open.load(Ordering::SeqCst))
    });
    let limits = Limits { held_events_max: 3, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("it says so", || running.stats().limited > 0).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(world.gate("a").await.gate.held_events, 3, "exactly");
    assert_eq!(
        world.broker.committed(NAME, &world.stream(0)),
        Some(Index::new(2)),
        "nothing past it is done"
    );
    open.store(true, Ordering::SeqCst);
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.assert_order(&handler.runs);
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2", "a3", "a4", "a5"]);
}

// Limits: what is buffered, what is uncommitted, and what runs.
#[tokio::test(start_paused = true)]
async fn no_more_is_begun_past_an_event_that_is_not_done_than_may_be_uncommitted() {
    let world = World::with(&["slow1"]);
    for number in 0..500 {
        world.send_to(&format!("e{number}x"), &format!("e{number}x1"));
    }
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, _| if text == "slow1" { Act::wait(&latch) } else { Act::Succeed }
    });
    let limits = Limits { uncommitted_max: 20, buffered_events_max: 30, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("the others are handled", || running.stats().handled == 19).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!(running.stats().handled, 19, "so many, and no more");
    latch.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded().len(), 501);
}
