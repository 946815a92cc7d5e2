//! Scenarios 1 to 9: the process dies, and nothing is lost or overtaken.

use std::time::Duration;

use ordered_consumer::{
    Limits, ParkCause, RetryPolicy, SqliteFailureLog,
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{
    Act, Latch, RunEnd, Running, Scripted, World, eventually,
    world::{NAME, consumer, seconds},
};

const TEXTS: [&str; 9] = ["a1", "b1", "a2", "c1", "a3", "c2", "b2", "d1", "c3"];
const FAILURES: &[(&str, u32)] = &[("a1", 2), ("c2", 1), ("a2", 1)];

/// Runs the world's events with a log whose call after `calls` stalls, crashes at that moment, runs again, and checks.
/// False: there were no so many calls.
async fn crash_at_store_call(calls: usize, fault: LogFault) -> bool {
    let world = World::with(&TEXTS);
    let log = FaultyFailureLog::new(world.log.clone());
    log.fail_after(calls, fault);
    let handler = Scripted::failing(FAILURES);
    let first = Running::start(consumer(&handler, log.clone()), world.source());
    let stalled = tokio::select! {
        () = log.until_stalled(1) => true,
        () = world.until_done(&handler.runs) => false,
    };
    first.crash().await;
    log.unstall();
    let second = world.start(&handler);
    world.until_done(&handler.runs).await;
    second.stop().await;
    world.assert_order(&handler.runs);
    stalled
}

// Scenarios 1 to 6, at every store call, before and after it is written.
#[tokio::test(start_paused = true)]
async fn a_crash_before_any_store_call_loses_nothing_and_overtakes_nothing() {
    let mut calls = 0;
    while crash_at_store_call(calls, LogFault::StallsUnwritten).await {
        calls += 1;
    }
    assert!(calls > 15, "the log was called {calls} times only");
}

// Scenarios 1 to 6, as above.
#[tokio::test(start_paused = true)]
async fn a_crash_after_any_store_call_loses_nothing_and_overtakes_nothing() {
    let mut calls = 0;
    while crash_at_store_call(calls, LogFault::StallsWritten).await {
        calls += 1;
    }
    assert!(calls > 15, "the log was called {calls} times only");
}

/// Lets time and tasks pass: mostly single turns of the runtime's tasks, now and then a while.
async fn pass(steps: usize) {
    for step in 0..steps {
        if step % 8 == 7 {
            tokio::time::sleep(Duration::from_millis(250)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

// Scenarios 1 to 6, and 9: at every await point, then again during the recovery.
#[tokio::test(start_paused = true)]
async fn crashes_at_any_moment_and_during_recovery_lose_nothing_and_overtake_nothing() {
    for steps in 0..80 {
        for again in [0, 1, 3, 9, 17] {
            let world = World::with(&TEXTS);
            let handler = Scripted::new(|text, attempt| match (text, attempt) {
                ("a1", 1 | 2) | ("c2", 1) | ("a2", 1) => Act::Fail("not yet"),
                _ => Act::Yield(u32::try_from(text.len()).unwrap()),
            });
            for moment in [steps, again] {
                let running = world.start(&handler);
                pass(moment).await;
                running.crash().await;
            }
            let last = world.start(&handler);
            world.until_done(&handler.runs).await;
            last.stop().await;
            world.assert_order(&handler.runs);
        }
    }
}

// Scenario 1.
#[tokio::test(start_paused = true)]
async fn a_success_that_was_not_recorded_is_run_once_more_and_nothing_is_skipped() {
    let world = World::with(&["a1", "a2"]);
    world.broker.lose_commits(NAME, true).unwrap();
    let handler = Scripted::calm();
    let first = world.start(&handler);
    eventually("both are handled", || handler.runs.succeeded().len() == 2).await;
    first.crash().await;
    world.broker.lose_commits(NAME, false).unwrap();
    let second = world.start(&handler);
    world.until_done(&handler.runs).await;
    second.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a1", "a2"]);
    assert!(handler.runs.runs()[2].context.redelivered, "the handler is told that it may have run before");
}

// Scenario 2.
#[tokio::test(start_paused = true)]
async fn a_recorded_event_whose_broker_was_not_told_is_a_duplicate_when_it_comes_again() {
    let world = World::with(&["a1", "a2"]);
    world.broker.lose_commits(NAME, true).unwrap();
    let handler = Scripted::failing(&[("a1", 1)]);
    let first = world.start(&handler);
    eventually("both are resolved", || first.stats().resolved == 2).await;
    first.crash().await;
    world.broker.lose_commits(NAME, false).unwrap();
    let second = world.start(&handler);
    eventually("both came again", || second.stats().duplicates == 2).await;
    second.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2"], "no success is run again once it is recorded");
}

// Scenario 3.
#[tokio::test(start_paused = true)]
async fn a_failure_that_was_not_logged_is_delivered_again() {
    let world = World::with(&["a1", "a2"]);
    let log = FaultyFailureLog::new(world.log.clone());
    let handler = {
        let log = log.clone();
        Scripted::new(move |text, attempt| {
            if text == "a1" && attempt == 1 {
                log.stall();
                return Act::Fail("and its failure is not logged");
            }
            Act::Succeed
        })
    };
    let first = Running::start(consumer(&handler, log.clone()), world.source());
    log.until_stalled(1).await;
    first.crash().await;
    assert_eq!(world.log_totals().await.held_events, 0);
    log.unstall();
    let second = world.start(&handler.beside(|_, _| Act::Succeed));
    world.until_done(&handler.runs).await;
    second.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2"]);
    world.assert_order(&handler.runs);
}

// Scenario 4.
#[tokio::test(start_paused = true)]
async fn the_broker_is_not_told_of_a_hold_before_it_is_committed_and_holding_twice_is_holding_once() {
    let world = World::with(&["a1"]);
    let log = FaultyFailureLog::new(world.log.clone());
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let policy = seconds().max_delay(Duration::from_secs(3_600));
    let policy = || policy.clone();
    let first =
        consumer(&handler, log.clone()).with_retry_policy(RetryPolicy::fixed(Duration::from_secs(3_600)));
    let first = Running::start(first, world.source());
    eventually("the head is logged", || first.stats().retry_scheduled == 1).await;
    eventually("the broker is told", || world.broker.lag(NAME) == 0).await;
    log.stall();
    world.send(&["a2"]);
    log.until_stalled(1).await;
    assert_eq!(world.broker.lag(NAME), 1, "the hold is on its way");
    first.crash().await;
    log.unstall();
    world.broker.lose_commits(NAME, true).unwrap();
    for _ in 0..2 {
        let again = Running::start(world.consumer(&handler).with_retry_policy(policy()), world.source());
        world.until("it is held", "a", |gate| gate.gate.held_events == 2).await;
        again.crash().await;
    }
    assert_eq!(world.log_totals().await.held_events, 2);
}

// Scenario 5: whoever starts next looks at once, and everybody looks from time to time.
#[tokio::test(start_paused = true)]
async fn a_release_whose_relay_died_is_found_at_the_next_start() {
    let world = World::with(&["a1", "a2", "a3"]);
    let log = FaultyFailureLog::new(world.log.clone());
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let first =
        Running::start(consumer(&handler, log).with_retry_policy(RetryPolicy::none()), world.source());
    let parked = world.until("it is parked", "a", |gate| gate.gate.held_events == 3).await;
    assert_eq!(parked.gate.parked, Some(ParkCause::Exhausted));
    first.crash().await;
    // No relay runs in this process while the release is committed.
    world.operator().skip(&parked, "it is wrong").await.unwrap();
    let second = world.start(&handler);
    eventually("what was held is handled", || handler.runs.succeeded() == ["a2", "a3"]).await;
    second.stop().await;
}

// Scenario 5, the periodic look: another process's operator releases, and nobody tells this one.
#[tokio::test(start_paused = true)]
async fn a_release_by_somebody_else_is_found_by_the_periodic_look() {
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let running =
        Running::start(world.consumer(&handler).with_retry_policy(RetryPolicy::none()), world.source());
    let parked = world.until("it is parked", "a", |gate| gate.gate.held_events == 2).await;
    world.operator().skip(&parked, "it is wrong").await.unwrap();
    eventually("what was held is handled", || handler.runs.has("a2")).await;
    running.stop().await;
}

// Scenario 6: the relay that published dies, or the copy is late; the gate falls due again, and is published again.
#[tokio::test(start_paused = true)]
async fn the_second_copy_of_what_was_published_and_not_marked_is_dropped() {
    let world = World::with(&["a1", "a2", "a3"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let publishing = || world.consumer(&handler).with_publisher(world.broker.retry_publisher(NAME));
    // Nobody receives copies yet.
    let deaf = Running::start(publishing(), world.source());
    eventually("it is published again", || world.broker.copies_published(NAME) == 2).await;
    deaf.crash().await;
    let running = Running::start(publishing(), world.source().with_retry());
    world.until_done(&handler.runs).await;
    eventually("every copy is done with", || world.broker.copies_left(NAME) == 0).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3"]);
}

// Scenario 7: the "killer" takes the process with it again and again, in the middle of its handler.
#[tokio::test(start_paused = true)]
async fn an_event_that_kills_its_process_uses_up_its_attempts_and_parks_and_its_neighbours_do_not() {
    let world = World::with(&["i1", "k1", "j1", "i2", "k2", "l1"]);
    let policy = || RetryPolicy::fixed(Duration::from_secs(1)).immediate(0).attempts_max(3);
    let slow = Latch::new();
    let handler = {
        let slow = slow.clone();
        Scripted::new(move |text, _| match text {
            "k1" => Act::Never,
            // These run beside it in the first process, and have not ended when it dies.
            "i1" | "l1" => Act::wait(&slow),
            _ => Act::Succeed,
        })
    };
    for life in 1..=4 {
        let running = Running::start(world.consumer(&handler).with_retry_policy(policy()), world.source());
        eventually("the killer runs", || handler.runs.times("k1") == life).await;
        running.crash().await;
        slow.open();
    }
    let last = Running::start(world.consumer(&handler).with_retry_policy(policy()), world.source());
    let parked = world.until("it is parked", "k", |gate| gate.gate.parked.is_some()).await;
    assert_eq!(parked.gate.parked, Some(ParkCause::LostRun));
    for innocent in ["i1", "i2", "j1", "l1"] {
        eventually("the innocent is handled", || handler.runs.has(innocent)).await;
    }
    eventually("nobody else waits", || world.broker.lag(NAME) == 0).await;
    last.stop().await;
    assert_eq!(world.gates().await.len(), 1, "only the killer's entity is parked");
    assert_eq!(handler.runs.times("k1"), 4, "a first run that nobody counted, and three attempts");
    assert_eq!(handler.runs.times("k2"), 0);
    world.assert_order(&handler.runs);
}

// Scenario 7: a run after a lost one is alone in its process.
#[tokio::test(start_paused = true)]
async fn a_run_after_a_lost_one_runs_alone_and_others_go_on_afterwards() {
    let world = World::with(&["k1", "a1"]);
    let release = Latch::new();
    let handler = {
        let release = release.clone();
        Scripted::new(move |text, attempt| match (text, attempt) {
            ("k1", 1) => Act::Never,
            ("k1", _) => Act::wait(&release),
            _ => Act::Succeed,
        })
    };
    for life in 1..=2 {
        let running = world.start(&handler);
        eventually("the killer runs", || handler.runs.times("k1") == life).await;
        running.crash().await;
    }
    let running = world.start(&handler);
    eventually("the killer runs again", || handler.runs.times("k1") == 3).await;
    let before = handler.runs.began().len();
    world.send(&["b1", "c1", "d1"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(handler.runs.began().len(), before, "it is alone: {:?}", handler.runs.began());
    release.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
}

// Suspects cost nothing after a clean release.
#[tokio::test(start_paused = true)]
async fn after_a_clean_release_nothing_is_suspect() {
    let world = World::with(&["a1", "b1"]);
    let handler = Scripted::calm();
    let first = world.start(&handler);
    world.until_done(&handler.runs).await;
    first.stop().await;
    world.send(&["a2", "b2"]);
    let second = world.start(&handler);
    world.until_done(&handler.runs).await;
    assert_eq!((second.stats().suspects, second.stats().handled), (0, 2));
    second.stop().await;
}

// Scenario 8 has its own kill -9 in the SQLite failure log's tests; here a consumer on SQLite is crashed again and
// again, its file is opened anew, and nothing that the broker was told of is missing.
#[tokio::test]
async fn what_the_broker_was_told_of_is_in_the_file_or_handled_after_crashes_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.db");
    let world = World::with(&TEXTS);
    let handler = Scripted::failing(FAILURES);
    let quick = || RetryPolicy::fixed(Duration::from_millis(1)).immediate(0).jitter(0.0);
    let limits = || Limits { workers: 1, ..Limits::default() };
    for crash_after in [1, 2, 4, 6] {
        let log = SqliteFailureLog::open(&path).await.unwrap();
        let running = consumer(&handler, log.clone()).with_retry_policy(quick()).with_limits(limits());
        let running = Running::start(running, world.source());
        eventually("it has come so far", || handler.runs.runs().len() >= crash_after).await;
        running.crash().await;
        log.close().await.unwrap();
    }
    let log = SqliteFailureLog::open(&path).await.unwrap();
    let last = consumer(&handler, log.clone()).with_retry_policy(quick()).with_limits(limits());
    let last = Running::start(last, world.source());
    let missing = || ordered_consumer_tests::order::missing(&world.sent(), &handler.runs.runs());
    eventually("everything is handled", || missing().is_empty() && world.broker.lag(NAME) == 0).await;
    last.stop().await;
    world.assert_order(&handler.runs);
    assert_eq!(handler.runs.ended("d1", RunEnd::Failed), 0);
}
