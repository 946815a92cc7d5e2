//! Scenarios 51 and 52: clocks that disagree, and clocks that step back.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{Clock, SqliteFailureLog, Timestamp};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, World, eventually,
    world::{consumer, gates, seconds},
};

fn clock(minutes: i64) -> Clock {
    Clock::manual(Timestamp::from_micros(1_700_000_000_000_000 + minutes * 60_000_000))
}

// Scenario 51: each process reads its own clock, as with SQLite, and one is ten minutes ahead.
#[tokio::test(start_paused = true)]
async fn ten_minutes_of_skew_between_processes_lose_nothing_and_record_each_success_once() {
    let world = World::with(&["a1", "a2", "a3"]);
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("once"),
            // The process whose clock is right runs it while the other one believes that its claim is long over.
            ("a1", 2) => Act::wait(&latch),
            _ => Act::Succeed,
        }
    });
    let (right, ahead) = (clock(0), clock(10));
    let here =
        Running::start(consumer(&handler, world.log.clone().with_clock(right.clone())), world.source());
    eventually("it is logged", || here.stats().held == 2).await;
    right.advance(Duration::from_secs(2));
    eventually("it runs", || handler.runs.times("a1") == 2).await;
    let there = Arc::new(consumer(&handler, world.log.clone().with_clock(ahead)));
    let there = Running::start_retries(there);
    eventually("the other has run all of it", || there.stats().resolved == 3).await;
    latch.open();
    eventually("the first result does not count", || here.stats().claims_lost == 1).await;
    assert_eq!((here.stats().resolved, here.stats().handled), (0, 0));
    assert!(world.gates().await.is_empty());
    here.stop().await;
    there.stop().await;
    // Its last success came late, and counted for nothing.
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3", "a1"]);
}

// Scenario 52.
#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_back_during_a_backoff_delays_the_retry_and_loses_nothing() {
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let clock = clock(0);
    let running =
        Running::start(consumer(&handler, world.log.clone().with_clock(clock.clone())), world.source());
    eventually("it is logged", || running.stats().held == 1).await;
    clock.step_back(Duration::from_secs(600));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(handler.runs.times("a1"), 1, "it is not due, as the log sees it");
    clock.advance(Duration::from_secs(602));
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2"]);
}

// Scenario 52, while a retry runs: its claim only lasts the longer.
#[tokio::test(start_paused = true)]
async fn a_clock_that_steps_back_while_a_retry_runs_does_not_have_it_run_twice() {
    let world = World::with(&["a1", "a2"]);
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("once"),
            ("a1", _) => Act::wait(&latch),
            _ => Act::Succeed,
        }
    });
    let clock = clock(0);
    let running =
        Running::start(consumer(&handler, world.log.clone().with_clock(clock.clone())), world.source());
    eventually("it is logged", || running.stats().held == 1).await;
    clock.advance(Duration::from_secs(2));
    eventually("it runs", || handler.runs.times("a1") == 2).await;
    clock.step_back(Duration::from_secs(600));
    tokio::time::sleep(Duration::from_secs(20)).await;
    latch.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.began(), ["a1", "a1", "a2"]);
}

// Scenario 52 on SQLite, whose due times are in the file: they outlive the process that wrote them.
#[tokio::test]
async fn due_times_in_a_file_are_kept_across_a_restart_whose_clock_is_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.db");
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let log = SqliteFailureLog::open(&path).await.unwrap().with_clock(clock(10));
    let running = Running::start(consumer(&handler, log).with_retry_policy(seconds()), world.source());
    eventually("both are logged", || running.stats().held == 1).await;
    running.stop().await;
    let behind = clock(0);
    let log = SqliteFailureLog::open(&path).await.unwrap().with_clock(behind.clone());
    let gate = gates(&log).await.remove(0);
    assert_eq!(gate.gate.due_at.unwrap().since(gate.now), Duration::from_secs(601));
    behind.advance(Duration::from_secs(601));
    let running = Running::start(consumer(&handler, log), world.source());
    eventually("both are handled", || handler.runs.succeeded() == ["a1", "a2"]).await;
    running.stop().await;
}
