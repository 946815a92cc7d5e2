//! `process` for people with a consume loop of their own: what `Ok` and `Err` mean, in which order calls are taken, and
//! that nothing is lost by a call that fails or is dropped.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{future::Future, pin::pin, sync::Arc, task::Poll, time::Duration};

use ordered_consumer::{
    Delivery, Event, Index, Lease, MemoryFailureLog, OrderedConsumer, Outcome, ParkCause, ProcessError,
    RetryPolicy, StreamName, Timeouts,
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{
    Act, Latch, RunEnd, Running, Scripted, World, eventually,
    world::{consumer, gates, seconds},
};

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").unwrap();
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

fn batch(events: &[(u128, &str)]) -> Vec<Delivery> {
    events.iter().map(|(index, text)| Delivery::from(event(*index, text))).collect()
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
    for outcome in consumer.process_batch(batch(&[(1, "a1"), (2, "b1")])).await {
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
async fn a_batch_costs_one_look_up_for_entities_that_are_clear() {
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let handler = Scripted::calm();
    let consumer = consumer(&handler, log.clone());
    let events: Vec<_> = (0..50).map(|index| event(index, &format!("{}{index}", index % 7))).collect();
    let outcomes = consumer.process_batch(events.into_iter().map(Delivery::from).collect()).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Outcome::Handled))), "{outcomes:?}");
    let calls = log.calls();
    assert_eq!((calls.which_gated, calls.total()), (1, 1));
    for entity in 0..7 {
        let expected: Vec<String> =
            (0..50).filter(|index| index % 7 == entity).map(|index| format!("{entity}{index}")).collect();
        assert_eq!(handler.runs.succeeded_of(&entity.to_string()), expected);
    }
}

// More entities than tokio lets a task take locks at a time.
#[tokio::test(start_paused = true)]
async fn a_batch_of_many_entities_costs_one_look_up_too() {
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let consumer = consumer(&Scripted::calm(), log.clone());
    let stream = StreamName::new("orders/0").unwrap();
    let events = (0..500).map(|index| Event::builder(stream.clone(), Index::new(index), format!("e{index}")));
    let outcomes = consumer.process_batch(events.map(|event| event.build().into()).collect()).await;
    assert!(outcomes.len() == 500 && outcomes.iter().all(Result::is_ok));
    assert_eq!(log.calls().total(), 1);
}

#[tokio::test(start_paused = true)]
async fn in_a_batch_what_follows_a_failure_is_held_and_what_follows_an_error_is_not_begun() {
    let world = World::with(&[]);
    let handler = Scripted::new(|text, _| match text {
        "a1" => Act::Fail("not yet"),
        "u2" => Act::Unavailable,
        _ => Act::Succeed,
    });
    let consumer = world.consumer(&handler);
    let events = [(1, "a1"), (2, "u1"), (3, "a2"), (4, "u2"), (5, "u3"), (6, "c1"), (7, "u4"), (8, "a3")];
    let outcomes = consumer.process_batch(batch(&events)).await;
    let told: Vec<&str> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(outcome) => outcome.as_str(),
            Err(ProcessError::Unavailable { .. }) => "unavailable",
            Err(ProcessError::EarlierNotDone { earlier, .. }) if earlier.index == Index::new(4) => "after 4",
            Err(other) => panic!("{other:?}"),
        })
        .collect();
    let expected =
        ["retry_scheduled", "handled", "held", "unavailable", "after 4", "handled", "after 4", "held"];
    assert_eq!(told, expected);
    assert_eq!((handler.runs.times("u3"), handler.runs.times("a2")), (0, 0));
    assert!(consumer.process_batch(Vec::new()).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_taken_does_not_spoil_the_rest_of_its_batch() {
    let world = World::with(&[]);
    let handler = Scripted::calm();
    let mut events = batch(&[(1, "a1"), (3, "b1")]);
    events.insert(1, Event::builder(world.stream(0), Index::new(2), "").build().into());
    events.push(Event::builder(world.stream(0), Index::new(4), vec![0; 1_025]).build().into());
    let outcomes = world.consumer(&handler).process_batch(events).await;
    assert!(matches!(outcomes[0], Ok(Outcome::Handled)) && matches!(outcomes[2], Ok(Outcome::Handled)));
    assert!(matches!(outcomes[1], Err(ProcessError::BadEvent { .. })), "{outcomes:?}");
    assert!(matches!(outcomes[3], Err(ProcessError::BadEvent { .. })), "{outcomes:?}");
}

// What was looked up while an earlier event ran is not so any more once that one has failed.
#[tokio::test(start_paused = true)]
async fn a_batch_looked_up_while_an_earlier_event_runs_does_not_overtake_it_when_it_fails() {
    let world = World::with(&[]);
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, _| if text == "a1" { Act::wait_and_fail(&latch) } else { Act::Succeed }
    });
    let consumer = Arc::new(world.consumer(&handler));
    let first = call(&consumer, event(1, "a1")).await;
    let second = {
        let consumer = Arc::clone(&consumer);
        tokio::spawn(async move { consumer.process_batch(batch(&[(2, "a2"), (3, "b1")])).await })
    };
    eventually("the other entity is handled", || handler.runs.has("b1")).await;
    latch.open();
    assert!(matches!(first.await.unwrap().unwrap(), Outcome::RetryScheduled { .. }));
    assert!(matches!(second.await.unwrap()[0], Ok(Outcome::Held)));
    assert_eq!(handler.runs.times("a2"), 0);
}

// The batch is in line from its first poll, however long its look-up takes, and with all of its events.
#[tokio::test(start_paused = true)]
async fn a_call_made_after_a_batch_comes_after_all_of_it() {
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, _| if text == "a1" { Act::wait(&latch) } else { Act::Succeed }
    });
    let consumer = Arc::new(consumer(&handler, log.clone()));
    log.fail_next(1, LogFault::StallsUnwritten);
    let first = {
        let consumer = Arc::clone(&consumer);
        tokio::spawn(async move { consumer.process_batch(batch(&[(1, "a1"), (2, "a2")])).await })
    };
    log.until_stalled(1).await;
    let last = call(&consumer, event(3, "a3")).await;
    log.unstall();
    eventually("the first runs", || handler.runs.times("a1") == 1).await;
    latch.open();
    assert_eq!(last.await.unwrap().unwrap(), Outcome::Handled);
    assert!(first.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3"]);
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

/// Polls a call until it has said so often that it must wait, then drops it. False: it has ended before.
async fn dropped_at(pendings: usize, call: impl Future) -> bool {
    let mut call = pin!(call);
    let mut left = pendings;
    std::future::poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(false),
        Poll::Pending if left == 0 => Poll::Ready(true),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_wherever_it_waits_loses_nothing_and_frees_its_entity() {
    let mut most = 0;
    for pendings in 0.. {
        let world = World::with(&[]);
        let handler = Scripted::new(|text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("the first time"),
            ("a1", 2) => Act::Sleep(Duration::from_millis(10)),
            _ => Act::Yield(2),
        });
        let consumer = Arc::new(world.consumer(&handler).with_retry_policy(seconds().immediate(1)));
        // The dropped call comes before or after another one of its entity.
        let dropped = dropped_at(pendings, consumer.process(event(1, "a1"))).await;
        for (index, text) in [(1, "a1"), (2, "a2"), (3, "a3")] {
            let outcome = tokio::time::timeout(Duration::from_secs(60), consumer.process(event(index, text)));
            assert!(outcome.await.expect("the turn is free").is_ok(), "dropped at {pendings}");
        }
        let retries = Running::start_retries(Arc::clone(&consumer));
        eventually("all are handled", || ["a1", "a2", "a3"].iter().all(|text| handler.runs.has(text))).await;
        retries.stop().await;
        let done = handler.runs.succeeded();
        let firsts: Vec<_> = ["a1", "a2", "a3"].map(|text| done.iter().position(|one| one == text)).into();
        assert!(firsts.is_sorted(), "dropped at {pendings}: {done:?}");
        assert!(gates(&world.log).await.is_empty());
        if !dropped {
            most = pendings;
            break;
        }
    }
    assert!(most >= 2, "it waited {most} times only");
}

#[tokio::test(start_paused = true)]
async fn a_failing_call_dropped_wherever_it_waits_is_logged_or_runs_again_and_is_not_overtaken() {
    let mut most = 0;
    for pendings in 0.. {
        let world = World::with(&[]);
        let handler = Scripted::new(|text, attempt| match (text, attempt) {
            ("a1", 1 | 2) => Act::Fail("twice"),
            _ => Act::Yield(1),
        });
        let consumer = Arc::new(world.consumer(&handler));
        let dropped = dropped_at(pendings, consumer.process(event(1, "a1"))).await;
        let again = consumer.process(event(1, "a1")).await.unwrap();
        assert!(matches!(again, Outcome::RetryScheduled { .. } | Outcome::Duplicate), "{again}");
        assert_eq!(consumer.process(event(2, "a2")).await.unwrap(), Outcome::Held, "dropped at {pendings}");
        let retries = Running::start_retries(Arc::clone(&consumer));
        eventually("both are handled", || handler.runs.has("a2")).await;
        retries.stop().await;
        assert_eq!(handler.runs.succeeded(), ["a1", "a2"], "dropped at {pendings}");
        assert!(gates(&world.log).await.is_empty());
        if !dropped {
            most = pendings;
            break;
        }
    }
    assert!(most >= 2, "it waited {most} times only");
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
