//! "Bad input": a failure log that cannot be used, at the start or later, and addresses that name none. Another schema
//! version and a file that is no database are in the SQLite failure log's own tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{error::Error, sync::Arc, time::Duration};

use ordered_consumer::{
    FailureLog, FailureLogError, MemoryFailureLog, RunError, SqliteFailureLog,
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{
    Running, Scripted, World, eventually, on_both_logs,
    world::{NAME, at_once, consumer},
};

on_both_logs!(
    a_store_that_is_away_at_the_start_ends_the_run_with_an_error_and_nothing_is_taken,
    a_store_that_goes_away_later_loses_nothing_and_the_consumer_goes_on_by_itself,
);

async fn a_store_that_is_away_at_the_start_ends_the_run_with_an_error_and_nothing_is_taken(
    log: Arc<dyn FailureLog>,
) {
    let world = World::with(&["a1"]);
    let handler = Scripted::calm();
    let away = FaultyFailureLog::new(log);
    away.fail_next(2, LogFault::Unavailable);
    let first = consumer(&handler, away.clone());
    let error = first.run(world.source()).await.unwrap_err();
    assert!(matches!(&error, RunError::FailureLog { source } if source.is_transient()), "{error:?}");
    assert!(error.to_string().contains("has not started"), "{error}");
    assert!(error.source().unwrap().to_string().contains("unavailable"), "{error:?}");
    let error = first.run_retries_until(std::future::ready(())).await.unwrap_err();
    assert!(matches!(error, RunError::FailureLog { .. }), "{error:?}");
    assert_eq!((handler.runs.runs().len(), world.broker.lag(NAME)), (0, 1), "nothing was taken");
    // The same consumer, once the store is there.
    let running = Running::start(first, world.source());
    eventually("it is handled", || handler.runs.has("a1") && world.broker.lag(NAME) == 0).await;
    running.stop().await;
}

async fn a_store_that_goes_away_later_loses_nothing_and_the_consumer_goes_on_by_itself(
    log: Arc<dyn FailureLog>,
) {
    let world = World::with(&["b1"]);
    let handler = Scripted::failing(&[("a1", 2), ("a2", 1)]);
    let away = FaultyFailureLog::new(log);
    let running =
        Running::start(consumer(&handler, away.clone()).with_retry_policy(at_once()), world.source());
    eventually("it runs", || handler.runs.has("b1")).await;
    for fault in [LogFault::Unavailable, LogFault::UnknownUnwritten, LogFault::UnknownWritten] {
        away.fail_next(2, fault);
    }
    world.send(&["a1", "b2", "a2", "c1", "a3"]);
    world.until_done(&handler.runs).await;
    assert!(running.stats().log_retries > 0);
    running.stop().await;
    world.assert_order(&handler.runs);
}

// Entities that do not fail do not notice; one that fails waits, and so does what follows it.
#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_only_entities_that_fail_wait() {
    let world = World::with(&["a1"]);
    let handler = Scripted::failing(&[("b1", 1)]);
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let running = Running::start(consumer(&handler, log.clone()), world.source());
    eventually("it runs", || handler.runs.has("a1")).await;
    log.stall();
    world.send(&["b1", "b2", "c1", "d1"]);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(handler.runs.has("c1") && handler.runs.has("d1"));
    assert_eq!((handler.runs.times("b1"), handler.runs.times("b2")), (1, 0));
    assert_eq!(world.broker.lag(NAME), 4, "nothing from `b1` on is settled");
    log.unstall();
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.assert_order(&handler.runs);
}

#[tokio::test]
async fn an_address_that_names_no_failure_log_is_told_what_is_wrong_and_shows_no_password() {
    for url in [
        "",
        "failures.db",
        "postgres://ann:secret@localhost/failures",
        "sqlite:",
        "sqlite::memory:",
        "sqlite:/no/such/directory/failures.db",
        "sqlite://ann:secret@x/failures.db?mode=rwc",
        "sqlite:a\0b",
        "\x1b[2Jpostgres:x",
    ] {
        let error = SqliteFailureLog::connect(url).await.unwrap_err();
        assert!(matches!(error, FailureLogError::BadUrl { .. }), "{url}: {error:?}");
        let (told, shown) = (error.to_string(), format!("{error:?}"));
        assert!(!told.contains("secret") && !shown.contains("secret"), "{told}");
        assert!(!told.chars().any(char::is_control), "{told:?}");
    }
}
