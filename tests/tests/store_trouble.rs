//! Scenarios 31 to 38: the failure log is away, slow, or does not say what it did.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    Event, FailureLog, FailureLogError, Index, Limits, MemoryFailureLog, OrderedConsumer, Outcome,
    ProcessError, RetryPolicy, RunError, SqliteFailureLog, StreamName, TakeOverOptions, Timeouts,
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, World, eventually,
    world::{NAME, consumer, gates, seconds},
};

const TEXTS: [&str; 9] = ["a1", "b1", "a2", "c1", "a3", "c2", "b2", "d1", "c3"];
const FAILURES: &[(&str, u32)] = &[("a1", 2), ("c2", 1), ("a2", 1)];

fn faulty(world: &World) -> FaultyFailureLog<MemoryFailureLog> {
    FaultyFailureLog::new(world.log.clone())
}

/// Runs everything with one call that goes wrong. False: there were no so many calls.
async fn one_fault(calls: usize, fault: LogFault, through_the_broker: bool) -> bool {
    let world = World::with(&TEXTS);
    let log = faulty(&world);
    // The first call is the one that refuses to start without a log, which has its own test.
    log.fail_after(calls + 1, fault);
    let handler = Scripted::failing(FAILURES);
    let consumer = consumer(&handler, log.clone());
    let running = if through_the_broker {
        let consumer = consumer.with_publisher(world.broker.retry_publisher(NAME));
        Running::start(consumer, world.source().with_retry())
    } else {
        Running::start(consumer, world.source())
    };
    world.until_done(&handler.runs).await;
    let happened = log.calls().total() > calls as u64 + 1;
    log.recover();
    running.stop().await;
    world.assert_order(&handler.runs);
    let twice = handler.runs.succeeded().len() - TEXTS.len();
    assert!(twice == 0, "call {calls}: {:?}", handler.runs.succeeded());
    happened
}

// Scenario 31, at every call, on both ways back: no success is run again because an answer was lost.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_of_any_call_is_asked_for_again_and_never_assumed() {
    for through_the_broker in [false, true] {
        for fault in [LogFault::Unavailable, LogFault::UnknownUnwritten, LogFault::UnknownWritten] {
            let mut calls = 0;
            while one_fault(calls, fault, through_the_broker).await {
                calls += 1;
            }
            assert!(calls > 10, "{fault:?}: {calls} calls");
        }
    }
}

// Scenario 31, many at once.
#[tokio::test(start_paused = true)]
async fn with_every_third_call_going_wrong_nothing_is_lost_or_overtaken() {
    let ways = [LogFault::Unavailable, LogFault::UnknownUnwritten, LogFault::UnknownWritten];
    for seed in 0..40 {
        let world = World::with(&TEXTS);
        let log = faulty(&world);
        log.script([None]);
        log.fail_randomly(seed, 3, &ways);
        let handler = Scripted::failing(FAILURES);
        let running = Running::start(consumer(&handler, log.clone()), world.source());
        world.until_done(&handler.runs).await;
        log.recover();
        running.stop().await;
        world.assert_order(&handler.runs);
    }
}

// Scenario 32, from the caller's side: a dropped call to `process`, at every await point.
#[tokio::test(start_paused = true)]
async fn a_call_to_process_that_is_dropped_at_any_await_point_loses_nothing_acknowledged() {
    for polls in 0..40 {
        let world = World::with(&[]);
        let handler = Scripted::new(|text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("once"),
            _ => Act::Yield(1),
        });
        let consumer = Arc::new(world.consumer(&handler));
        for (index, text) in [(1, "a1"), (2, "a2")] {
            let stream = StreamName::new("queue").unwrap();
            let event = Event::builder(stream, Index::new(index), "a").payload(text).build();
            let mut call = Box::pin(consumer.process(event.clone()));
            let mut acknowledged = false;
            for _ in 0..polls {
                acknowledged |= futures::poll!(&mut call).is_ready();
                if acknowledged {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(call);
            if !acknowledged {
                consumer.process(event).await.unwrap();
            }
        }
        let retries = Running::start_retries(Arc::clone(&consumer));
        eventually("both are handled", || handler.runs.has("a1") && handler.runs.has("a2")).await;
        retries.stop().await;
        let first = handler.runs.succeeded().into_iter().position(|text| text == "a2");
        assert!(handler.runs.succeeded()[..first.unwrap()].contains(&"a1".to_owned()), "{polls}");
    }
}

// Scenario 33, with two pools on one file, as two processes have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_consumers_on_one_sqlite_file_lose_nothing_and_overtake_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.db");
    let world = World::with_partitions(2);
    for round in 0..6 {
        for entity in ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"] {
            world.send_to(entity, &format!("{entity}{round}"));
        }
    }
    let handler = Scripted::new(|text, attempt| Act::succeed_if(!text.ends_with('0') || attempt > 2));
    let quick = RetryPolicy::fixed(Duration::from_millis(1)).immediate(0);
    let mut members = Vec::new();
    for _ in 0..2 {
        let log = SqliteFailureLog::open(&path).await.unwrap();
        members
            .push(Running::start(consumer(&handler, log).with_retry_policy(quick.clone()), world.source()));
    }
    world.until_done(&handler.runs).await;
    let log = SqliteFailureLog::open(&path).await.unwrap();
    for _ in 0..1_000 {
        if gates(&log).await.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(gates(&log).await.is_empty());
    for member in members {
        member.stop().await;
    }
    world.assert_order(&handler.runs);
}

// Scenario 34: as many retries as may run hang; the main path goes on.
#[tokio::test(start_paused = true)]
async fn retries_that_use_up_their_room_do_not_keep_the_main_stream_waiting() {
    let world = World::with(&["a1", "b1", "c1", "d1"]);
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, attempt| match (text, attempt) {
            ("a1" | "b1" | "c1" | "d1", 1) => Act::Fail("once"),
            ("a1" | "b1" | "c1" | "d1", _) => Act::wait(&latch),
            _ => Act::Succeed,
        }
    });
    let limits = Limits { retries_running_max: 2, running_max: 2, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("the retries' room is used up", || running.stats().retried == 2).await;
    world.send(&["x1", "y1", "z1", "a2"]);
    eventually("others are handled", || running.stats().handled == 3).await;
    eventually("and held", || running.stats().held == 1).await;
    latch.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
}

// Scenario 36: buffers stay bounded, the source is paused and still asked, no offset moves; then everything drains.
#[tokio::test(start_paused = true)]
async fn a_failure_log_that_is_away_for_ten_minutes_stops_only_what_needs_it() {
    let world = World::with_partitions(2);
    let send = |entity: &str, partition: u32, number: u32| {
        let event =
            ordered_consumer::in_memory_broker::NewEvent::new(entity.to_owned(), format!("{entity}{number}"));
        world.broker.publish_to(ordered_consumer_tests::world::TOPIC, partition, event).unwrap();
    };
    let log = faulty(&world);
    let handler = Scripted::new(|text, attempt| Act::succeed_if(text != "bad1" || attempt > 1));
    let limits = Limits { buffered_events_max: 10, uncommitted_max: 10, ..Limits::default() };
    let running = Running::start(consumer(&handler, log.clone()).with_limits(limits), world.source());
    send("calm", 0, 0);
    send("calm", 1, 0);
    eventually("both streams flow", || running.stats().handled == 2).await;
    let before = world.broker.committed(NAME, &world.stream(0));
    log.fail_randomly(1, 1, &[LogFault::Unavailable]);
    for number in 1..=100 {
        send("bad", 0, number);
        send("calm", 1, number);
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(running.stats().handled, 102, "who needs no log goes on");
    assert_eq!(world.broker.committed(NAME, &world.stream(0)), before, "no offset has moved");
    assert_eq!(handler.runs.times("bad1"), 1);
    assert_eq!(handler.runs.times("bad2"), 0);
    assert!(running.stats().log_retries > 10);
    log.recover();
    eventually("everything drains", || world.broker.lag(NAME) == 0).await;
    eventually("and is handled", || handler.runs.succeeded_of("bad").len() == 100).await;
    running.stop().await;
    let expected: Vec<String> = (1..=100).map(|number| format!("bad{number}")).collect();
    assert_eq!(handler.runs.succeeded_of("bad"), expected);
}

// Scenario 38 is the SQLite failure log's own test; here what a consumer says when its log cannot be used at the start.
#[tokio::test(start_paused = true)]
async fn a_consumer_whose_log_cannot_be_reached_does_not_start_and_says_so() {
    let world = World::with(&["a1"]);
    let log = faulty(&world);
    log.fail_next(2, LogFault::Unavailable);
    let handler = Scripted::calm();
    let consumer = consumer(&handler, log);
    let refused = consumer.run(world.source()).await.unwrap_err();
    assert!(
        matches!(refused, RunError::FailureLog { source: FailureLogError::Unavailable { .. } }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("has not started"), "{refused}");
    let refused = consumer.run_retries_until(async {}).await.unwrap_err();
    assert!(matches!(refused, RunError::FailureLog { .. }));
    assert_eq!((handler.runs.runs().len(), world.broker.lag(NAME)), (0, 1), "nothing is lost");
}

// A caller of `process` does not wait for ever, and is told not to acknowledge.
#[tokio::test(start_paused = true)]
async fn process_gives_up_on_a_log_that_is_away_names_the_event_and_loses_nothing() {
    let world = World::with(&[]);
    let log = faulty(&world);
    let handler = Scripted::failing(&[("a1", 1)]);
    let timeouts = Timeouts { failure_log: Duration::from_secs(3), ..Timeouts::default() };
    let consumer: OrderedConsumer<Scripted> = consumer(&handler, log.clone()).with_timeouts(timeouts);
    let event =
        || Event::builder(StreamName::new("queue").unwrap(), Index::new(7), "a").payload("a1").build();
    log.stall();
    let error = consumer.process(event()).await.unwrap_err();
    assert!(matches!(error, ProcessError::FailureLog { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("event 7 of stream queue"), "{error}");
    log.unstall();
    assert!(matches!(consumer.process(event()).await.unwrap(), Outcome::RetryScheduled { .. }));
}

// Quiet path: no call at all for events of clear entities on an owned stream, whichever way it is owned.
#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_quiet_entities_of_an_owned_stream_cost_no_write_to_the_log() {
    let world = World::with(&[]);
    for number in 0..100_000 {
        let (entity, text) = (format!("e{number}"), "quiet");
        world.broker.publish(ordered_consumer_tests::world::TOPIC, entity, text).unwrap();
    }
    let log = faulty(&world);
    let quiet = |_: Event| async { Ok::<(), std::io::Error>(()) };
    let running = Running::start(OrderedConsumer::new(NAME, quiet, log.clone()), world.source());
    eventually("all are handled", || running.stats().handled == 100_000).await;
    let calls = log.calls();
    assert_eq!((calls.apply, calls.which_gated, calls.held_events), (0, 0, 0), "{calls:?}");
    running.stop().await;
    let guarded = OrderedConsumer::new(NAME, quiet, log.clone());
    let stream = StreamName::new("own").unwrap();
    let guard = guarded.take_over(stream.clone(), TakeOverOptions::default(), async || true).await.unwrap();
    let before = log.calls();
    for number in 0..1_000_u32 {
        let event = Event::builder(stream.clone(), Index::new(number.into()), format!("e{number}")).build();
        assert_eq!(guard.process(event).await.unwrap(), Outcome::Handled);
    }
    assert_eq!(log.calls(), before, "no call of any kind");
}

// The default policy's retry in place heals what passes by itself without touching the log.
#[tokio::test(start_paused = true)]
async fn a_failure_that_a_retry_in_place_heals_never_reaches_the_log() {
    let world = World::with(&["a1", "a2"]);
    let log = faulty(&world);
    let handler = Scripted::failing(&[("a1", 1)]);
    let consumer = consumer(&handler, log.clone()).with_retry_policy(seconds().immediate(1));
    let running = Running::start(consumer, world.source());
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!((log.calls().apply, handler.runs.attempts("a1")), (0, vec![1, 2]));
    assert!(log.describe().contains("memory"));
}
