//! Every transition is counted, and counted once.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use ordered_consumer::testing::{FaultyFailureLog, LogFault};
use ordered_consumer::{Index, Limits, OrderedConsumer, RetryPolicy, TelemetryOptions, Timeouts};
use ordered_consumer_tests::{
    Act, Running, Scripted, World, eventually,
    world::{NAME, consumer, seconds},
};

use crate::metrics_seen::Metrics;

const OUTCOME: &str = "ordered_consumer.outcome";
const CAUSE: &str = "ordered_consumer.cause";
const RUN: &str = "ordered_consumer.run";

#[tokio::test(start_paused = true)]
async fn every_outcome_of_the_main_stream_and_every_run_from_the_log_is_counted_once() {
    let metrics = Metrics::install();
    let world = World::with(&["ok1", "ok2", "no1", "a1", "a2", "a3", "p1", "x1", "i1"]);
    let handler = Scripted::new(|text, attempt| match (text, attempt) {
        ("a1", 1..=2) | ("x1", _) => Act::Fail("as the test says"),
        ("a1" | "a3", _) => Act::Sleep(Duration::from_millis(250)),
        ("p1", _) => Act::Permanent,
        ("no1", _) => Act::Ignore,
        ("i1", 1) => Act::Fail("once"),
        ("i1", _) => Act::Ignore,
        _ => Act::Succeed,
    });
    let policy = seconds().attempts_max(3);
    let running = Running::start(world.consumer(&handler).with_retry_policy(policy), world.source());
    eventually("a is done", || handler.runs.succeeded().contains(&"a3".to_owned())).await;
    world.until("x is parked", "x", |gate| gate.gate.parked.is_some()).await;
    world.broker.redeliver(NAME, &world.stream(0), Index::MIN).unwrap();
    eventually("what came again is known", || running.stats().duplicates >= 3).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (stats, seen) = (running.stats(), metrics.taken());
    running.stop().await;

    let outcomes = |outcome| seen.counter("ordered_consumer.events", &[(OUTCOME, outcome)]);
    // `ok1`, `ok2` ran again: nothing is known of what was handled at once.
    assert_eq!((stats.handled, outcomes("handled")), (4, 4));
    assert_eq!((stats.retry_scheduled, outcomes("retry_scheduled")), (3, 3), "a1, x1, i1");
    assert_eq!((stats.held, outcomes("held")), (2, 2), "a2, a3");
    assert_eq!((outcomes("ignored"), outcomes("parked"), outcomes("suspect")), (2, 1, 0), "no1 twice; p1");
    assert_eq!(stats.duplicates, outcomes("duplicate"));
    assert_eq!(stats.consumed, seen.counter("messaging.client.consumed.messages", &[]));
    let sum: u64 =
        ["handled", "retry_scheduled", "held", "ignored", "parked", "duplicate"].map(outcomes).iter().sum();
    assert_eq!(stats.consumed, sum, "each has one outcome");

    let runs = |run| seen.counter("ordered_consumer.runs", &[(RUN, run)]);
    assert_eq!((runs("release"), stats.released), (2, 2), "a2, a3");
    assert_eq!((runs("retry"), stats.retried), (5, 7), "a1 twice, x1 twice, i1");
    let resolved = |outcome| seen.counter("ordered_consumer.resolved", &[(OUTCOME, outcome)]);
    assert_eq!((resolved("handled"), resolved("ignored"), stats.resolved), (3, 1, 4));
    assert_eq!(stats.ignored, 3);
    let parked = |cause| seen.counter("ordered_consumer.parked", &[(CAUSE, cause)]);
    assert_eq!((parked("permanent"), parked("exhausted"), stats.parked), (1, 1, 2));
    assert_eq!((stats.failed, seen.counter("ordered_consumer.failed", &[])), (stats.failed, stats.failed));

    // Times are tokio's, which the test has stopped: they are exact.
    let process = seen.histogram("messaging.process.duration", &[]);
    assert_eq!(process.iter().sum::<f64>(), 0.5, "a1 and a3 took a quarter of a second each");
    assert_eq!(process.len() as u64, handler.runs.runs().len() as u64, "each run is measured once");
    let failed = seen.histogram("messaging.process.duration", &[("error.type", "&str")]);
    assert!(!failed.is_empty(), "what failed tells its error's type");
    let blocked = seen.histogram("ordered_consumer.blocked.duration", &[]);
    assert_eq!(blocked.len(), 4, "a1, a2, a3, i1");
    assert!(blocked[0] >= 1.0 && blocked[0] < 1.1, "i1 was tried again after a second: {blocked:?}");
    assert!(blocked[3] >= 3.25 && blocked[3] < 3.8, "a1 after three, and the others behind it: {blocked:?}");

    assert_eq!(seen.gauge("ordered_consumer.gated_entities"), 2.0);
    assert_eq!(seen.gauge("ordered_consumer.parked_entities"), 2.0);
    assert_eq!(seen.gauge("ordered_consumer.held_events"), 2.0);
    assert!(seen.gauge("ordered_consumer.held_bytes") >= 4.0);
    assert!(seen.gauge("ordered_consumer.oldest_held.age") >= 25.0);
    assert_eq!(seen.gauge("ordered_consumer.buffered_events"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_lost_run_that_parks_its_entity_is_counted_although_nobody_ran_it() {
    let world = World::with(&["k1"]);
    let policy = || RetryPolicy::fixed(Duration::from_secs(1)).immediate(0).attempts_max(1);
    let handler = Scripted::new(|_, _| Act::Never);
    for life in 1..=2 {
        let running = Running::start(world.consumer(&handler).with_retry_policy(policy()), world.source());
        eventually("the killer runs", || handler.runs.times("k1") == life).await;
        running.crash().await;
    }
    let metrics = Metrics::install();
    let last = Running::start(world.consumer(&handler).with_retry_policy(policy()), world.source());
    world.until("it is parked", "k", |gate| gate.gate.parked.is_some()).await;
    eventually("it is counted", || last.stats().parked_lost_run == 1).await;
    last.stop().await;
    assert_eq!(metrics.taken().counter("ordered_consumer.parked", &[(CAUSE, "lost_run")]), 1);
}

#[tokio::test(start_paused = true)]
async fn calls_to_the_failure_log_are_measured_by_what_was_asked_and_how_it_ended() {
    let metrics = Metrics::install();
    let world = World::with(&["a1"]);
    let log = FaultyFailureLog::new(world.log.clone());
    let handler = Scripted::new({
        let log = log.clone();
        move |_, attempt| {
            if attempt == 1 {
                // The write of this very failure, and perhaps a look at how much is held, which is not made again.
                log.fail_next(2, LogFault::Unavailable);
            }
            Act::succeed_if(attempt > 1)
        }
    });
    let running = Running::start(consumer(&handler, log.clone()), world.source());
    world.until_done(&handler.runs).await;
    running.stop().await;
    let seen = metrics.taken();
    let operation = "ordered_consumer.operation";
    let calls =
        |operation_is| seen.histogram("ordered_consumer.failure_log.duration", &[(operation, operation_is)]);
    assert!(calls("apply").len() >= 3, "failed, claimed, resolved");
    assert_eq!((calls("take_over").len(), calls("totals").is_empty()), (1, false));
    let failed = seen.histogram("ordered_consumer.failure_log.duration", &[("error.type", "unavailable")]);
    assert_eq!(failed.len(), 2);
    let written = [("error.type", "unavailable"), (operation, "apply")];
    let written = seen.histogram("ordered_consumer.failure_log.duration", &written).len() as u64;
    assert_eq!(seen.counter("ordered_consumer.failure_log.retries", &[]), written, "each is made again");
}

#[tokio::test(start_paused = true)]
async fn what_is_published_and_what_a_limit_stops_is_counted() {
    let metrics = Metrics::install();
    let world = World::with(&["a1", "a2", "a3", "a4"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let limits = Limits { held_events_max: 3, ..Limits::default() };
    let consumer =
        world.consumer(&handler).with_publisher(world.broker.retry_publisher(NAME)).with_limits(limits);
    let running = Running::start(consumer, world.source().with_retry());
    world.until_done(&handler.runs).await;
    let stats = running.stats();
    running.stop().await;
    let seen = metrics.taken();
    assert_eq!(seen.counter("messaging.client.sent.messages", &[]), stats.published);
    assert!(stats.published >= 3, "{stats:?}");
    assert_eq!((stats.limited, seen.counter("ordered_consumer.limited", &[])), (1, 1));
}

#[tokio::test]
async fn a_handler_that_blocks_its_thread_is_counted() {
    let metrics = Metrics::install();
    let world = World::with(&["a1"]);
    let (unblock, blocked) = mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let handler = Scripted::new(move |_, _| Act::Block(Arc::clone(&blocked)));
    let timeouts = Timeouts { blocked: Duration::from_millis(20), ..Timeouts::default() };
    let consumer = Arc::new(world.consumer(&handler).with_timeouts(timeouts));
    let watched = Arc::clone(&consumer);
    // A thread of its own, because the one that runs the consumer is blocked.
    let watcher = std::thread::spawn(move || {
        while watched.stats().blocked == 0 {
            std::thread::yield_now();
        }
        drop(unblock);
    });
    world.broker.close_topic(ordered_consumer_tests::world::TOPIC).unwrap();
    consumer.run(world.source()).await.unwrap();
    watcher.join().unwrap();
    assert_eq!(metrics.taken().counter("ordered_consumer.handler.blocking", &[]), 1);
}

#[tokio::test(start_paused = true)]
async fn streams_are_told_apart_unless_it_is_asked_that_they_are_not() {
    for streams in [true, false] {
        let metrics = Metrics::install();
        let world = World::with_partitions(2);
        for number in 0..40 {
            world.send_to(&format!("e{number}x"), &format!("e{number}x1"));
        }
        let handler = Scripted::calm();
        let options = TelemetryOptions::default().streams(streams).system("kafka");
        let running = Running::start(world.consumer(&handler).with_telemetry(options), world.source());
        world.until_done(&handler.runs).await;
        running.stop().await;
        let seen = metrics.taken();
        assert_eq!(seen.counter("ordered_consumer.events", &[(OUTCOME, "handled")]), 40);
        assert_eq!(seen.counter("messaging.client.consumed.messages", &[("messaging.system", "kafka")]), 40);
        let named: Vec<_> =
            seen.0.iter().filter_map(|seen| seen.labels.get("messaging.destination.name")).collect();
        assert_eq!(!named.is_empty(), streams, "{named:?}");
        assert_eq!(named.iter().any(|name| *name == "orders/1"), streams, "{named:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn own_consume_loops_are_measured_too() {
    let metrics = Metrics::install();
    let world = World::with(&[]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let consumer =
        Arc::new(OrderedConsumer::new(NAME, handler.clone(), world.log.clone()).with_retry_policy(seconds()));
    let retries = Running::start_retries(Arc::clone(&consumer));
    let event = |index, text: &'static str| {
        ordered_consumer::Event::builder(world.stream(0), Index::new(index), "a").payload(text).build()
    };
    consumer.process(event(1, "a1")).await.unwrap();
    consumer.process(event(2, "a2")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    eventually("it is done", || handler.runs.succeeded() == ["a1", "a2"]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    retries.stop().await;
    let seen = metrics.taken();
    assert_eq!(seen.counter("messaging.client.consumed.messages", &[]), 2);
    assert_eq!(seen.counter("ordered_consumer.resolved", &[]), 2);
    assert_eq!(seen.gauge("ordered_consumer.gated_entities"), 0.0);
    assert!(
        !seen
            .histogram("ordered_consumer.failure_log.duration", &[("ordered_consumer.operation", "totals")])
            .is_empty()
    );
}
