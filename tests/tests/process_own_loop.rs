//! `process` for people with a consume loop of their own: what `Ok` and `Err` mean, in which order calls are taken, and
//! that nothing is lost by a call that fails or is dropped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    Delivery, Event, Index, Lease, MemoryFailureLog, OrderedConsumer, Outcome, ParkCause, ProcessError,
    RetryPolicy, StreamName, Timeouts,
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{
    Act, Latch, RunEnd, Running, Scripted, World, eventually,
    world::{consumer, gates},
};

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").unwrap();
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

type Calls = tokio::task::JoinHandle<Result<Outcome, ProcessError>>;

/// Calls `process` in a task, and lets it come as far as it can.
async fn call(consumer: &Arc<OrderedConsumer<Scripted>>, event: Event) -> Calls {
    let consumer = Arc::clone(consumer);
    let call = tokio::spawn(async move { consumer.process(event).await });
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    call
}

#[tokio::test(start_paused = true)]
async fn each_outcome_is_told_and_is_durable() {
    let world = World::with(&[]);
    let handler = Scripted::new(|text, _| match text {
        "f1" => Act::Fail("not yet"),
        "p1" => Act::Permanent,
        "x1" => Act::Panic,
        "n1" => Act::Never,
        "i1" => Act::Ignore,
        "r1" => Act::RetryAfter(Duration::from_secs(77)),
        _ => Act::Succeed,
    });
    let consumer = world.consumer(&handler);
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Handled);
    assert_eq!(consumer.process(event(1, "i1")).await.unwrap(), Outcome::Ignored);
    for failing in ["f1", "x1", "n1", "r1"] {
        let outcome = consumer.process(event(1, failing)).await.unwrap();
        assert!(matches!(outcome, Outcome::RetryScheduled { .. }), "{failing}: {outcome}");
        assert_eq!(consumer.process(event(1, failing)).await.unwrap(), Outcome::Duplicate);
        let later = event(2, &failing.replace('1', "2"));
        assert_eq!(consumer.process(later).await.unwrap(), Outcome::Held);
    }
    assert_eq!(consumer.process(event(1, "p1")).await.unwrap(), Outcome::Parked(ParkCause::Permanent));
    let suspect = Event::builder(world.stream(0), Index::new(1), "s").payload("s1").redelivered(true).build();
    assert_eq!(consumer.process(suspect).await.unwrap(), Outcome::Suspect);
    assert_eq!(handler.runs.times("s1"), 0, "it is logged before it runs");
    let stats = consumer.stats();
    assert_eq!((stats.handled, stats.ignored, stats.retry_scheduled, stats.held), (1, 1, 4, 4));
    assert_eq!((stats.parked, stats.suspects, stats.duplicates), (1, 1, 4));
    let totals = world.log_totals().await;
    assert_eq!((totals.gated_entities, totals.held_events), (6, 10), "each of them is in the log");
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_of_one_entity_run_in_the_order_of_the_calls_and_others_beside_them() {
    let world = World::with(&[]);
    let first = Latch::new();
    let handler = Scripted::new({
        let first = first.clone();
        move |text, _| if text == "a1" { Act::wait(&first) } else { Act::Yield(3) }
    });
    let consumer = Arc::new(world.consumer(&handler));
    let mut calls = Vec::new();
    for index in 1..=20 {
        calls.push(call(&consumer, event(index, &format!("a{index}"))).await);
    }
    assert_eq!(consumer.process(event(21, "b1")).await.unwrap(), Outcome::Handled);
    assert_eq!(handler.runs.began(), ["a1", "b1"]);
    first.open();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), Outcome::Handled);
    }
    let expected: Vec<String> = (1..=20).map(|index| format!("a{index}")).collect();
    assert_eq!(handler.runs.succeeded_of("a"), expected);
}

// More calls polled by one task than tokio lets it do at a time: each joins its entity's line when it is first polled.
#[tokio::test(start_paused = true)]
async fn calls_made_at_once_by_one_task_run_in_the_order_of_the_calls() {
    let world = World::with(&[]);
    let handler = Scripted::new(|_, _| Act::Yield(1));
    let consumer = world.consumer(&handler);
    let calls = (0..500).map(|index| consumer.process(event(index, &format!("a{index}"))));
    for outcome in futures::future::join_all(calls).await {
        assert_eq!(outcome.unwrap(), Outcome::Handled);
    }
    let expected: Vec<String> = (0..500).map(|index| format!("a{index}")).collect();
    assert_eq!(handler.runs.began(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_behind_one_that_fails_is_held() {
    let world = World::with(&[]);
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |_, _| Act::wait_and_fail(&latch)
    });
    let consumer = Arc::new(world.consumer(&handler));
    let first = call(&consumer, event(1, "a1")).await;
    let second = call(&consumer, event(2, "a2")).await;
    latch.open();
    assert!(matches!(first.await.unwrap().unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(second.await.unwrap().unwrap(), Outcome::Held);
    assert_eq!(handler.runs.times("a2"), 0);
}

#[tokio::test(start_paused = true)]
async fn while_the_log_stalls_a_failure_is_an_error_after_a_time_and_is_written_once_the_log_is_back() {
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let handler = Scripted::failing(&[("a1", 1)]);
    let timeouts = Timeouts { failure_log: Duration::from_secs(3), ..Timeouts::default() };
    let consumer = Arc::new(consumer(&handler, log.clone()).with_timeouts(timeouts));
    log.script([None, Some(LogFault::StallsUnwritten)]);
    let began = tokio::time::Instant::now();
    let error = consumer.process(event(1, "a1")).await.unwrap_err();
    assert_eq!(began.elapsed(), Duration::from_secs(3));
    assert!(matches!(&error, ProcessError::FailureLog { .. }) && error.is_transient(), "{error:?}");
    assert!(gates(log.inner()).await.is_empty(), "nothing is written yet");
    // What comes next waits for its turn in the log, and does not overtake.
    let error = consumer.process(event(2, "a2")).await.unwrap_err();
    assert!(matches!(error, ProcessError::FailureLog { .. }));
    log.unstall();
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Duplicate, "it was written");
    let second = consumer.process(event(2, "a2")).await.unwrap();
    assert_eq!(second, Outcome::Duplicate, "its hold was handed over, too");
    assert_eq!((handler.runs.times("a1"), handler.runs.times("a2")), (1, 0));
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("both are handled, in order", || handler.runs.succeeded() == ["a1", "a2"]).await;
    retries.stop().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_log_is_away_nothing_of_a_shared_stream_runs_and_each_call_is_an_error() {
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let handler = Scripted::calm();
    let consumer = consumer(&handler, log.clone());
    log.stall();
    let error = consumer.process(event(1, "a1")).await.unwrap_err();
    assert!(error.to_string().contains("event 1 of stream orders/0"), "{error}");
    for outcome in consumer.process_batch(vec![event(1, "a1").into(), event(2, "b1").into()]).await {
        assert!(matches!(outcome, Err(ProcessError::FailureLog { .. })), "{outcome:?}");
    }
    assert_eq!(handler.runs.runs().len(), 0);
    log.unstall();
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Handled);
}

#[tokio::test(start_paused = true)]
async fn unavailable_is_an_error_that_counts_no_attempt_and_logs_nothing() {
    let world = World::with(&[]);
    let away = Latch::new();
    let handler = Scripted::new({
        let away = away.clone();
        move |_, _| if away.is_open() { Act::Succeed } else { Act::Unavailable }
    });
    let policy = RetryPolicy::fixed(Duration::from_secs(1)).immediate(3).attempts_max(2);
    let consumer = world.consumer(&handler).with_retry_policy(policy);
    for _ in 0..5 {
        let error = consumer.process(event(1, "a1")).await.unwrap_err();
        assert!(matches!(&error, ProcessError::Unavailable { .. }) && error.is_transient(), "{error:?}");
    }
    assert_eq!(world.log_totals().await.gated_entities, 0);
    assert_eq!(handler.runs.attempts("a1"), [1, 1, 1, 1, 1]);
    away.open();
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Handled);
}

#[tokio::test(start_paused = true)]
async fn past_its_deadline_an_event_is_not_begun_and_what_runs_is_dropped() {
    let world = World::with(&[]);
    let handler = Scripted::new(|text, _| if text == "b1" { Act::Never } else { Act::Succeed });
    let consumer = world.consumer(&handler);
    let leased = |index, text, seconds| Delivery {
        lease: Some(Lease::new(Duration::from_secs(seconds))),
        ..Delivery::from(event(index, text))
    };
    let over = consumer.process(leased(1, "a1", 0)).await.unwrap_err();
    assert!(matches!(over, ProcessError::DeadlinePassed { .. }), "{over:?}");
    let over = consumer.process(leased(2, "b1", 5)).await.unwrap_err();
    assert!(matches!(over, ProcessError::DeadlinePassed { .. }), "{over:?}");
    assert_eq!((handler.runs.times("a1"), handler.runs.ended("b1", RunEnd::Dropped)), (0, 1));
    assert_eq!(world.log_totals().await.gated_entities, 0);
    assert_eq!(consumer.process(leased(1, "a1", 5)).await.unwrap(), Outcome::Handled);
}

#[tokio::test(start_paused = true)]
async fn retries_alone_run_until_they_are_told_to_stop_and_let_what_runs_end() {
    let world = World::with(&[]);
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("not yet"),
            ("a1", _) => Act::wait(&latch),
            _ => Act::Succeed,
        }
    });
    let consumer = Arc::new(world.consumer(&handler));
    consumer.process(event(1, "a1")).await.unwrap();
    consumer.process(event(2, "a2")).await.unwrap();
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("it runs", || handler.runs.times("a1") == 2).await;
    let stopping = tokio::spawn(retries.stop());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!stopping.is_finished(), "it waits for the handler");
    latch.open();
    stopping.await.unwrap();
    assert_eq!(handler.runs.succeeded(), ["a1"], "and begins nothing new");
    let left = gates(&world.log).await.remove(0);
    assert_eq!((left.gate.head, left.gate.claim), (Some(Index::new(2)), None));
    assert_eq!(left.key.stream.as_str(), "orders/0");
    assert_eq!(consumer.operator("ann").unwrap().totals().await.unwrap().held_events, 1);
}
