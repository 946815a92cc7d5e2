//! Opening and closing a store, dropped wherever they wait: the store opens afterwards, and has what was acknowledged.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use ordered_consumer::{
    ConsumerName, FailureLog, SqliteFailureLog, StreamName,
    gate::TakeOver,
    testing::{Cuts, polled_eagerly, sweep},
};

async fn write(log: &dyn FailureLog, seen_generation: u64) {
    let (consumer, stream) = names();
    let asked = TakeOver { seen_generation, identity: None, position: None, uncommitted_max: 10 };
    log.take_over(&consumer, &stream, &asked).await.unwrap().unwrap();
}

async fn generation(log: &dyn FailureLog) -> Option<u64> {
    let (consumer, stream) = names();
    log.stream(&consumer, &stream).await.unwrap().map(|record| record.generation)
}

fn names() -> (ConsumerName, StreamName) {
    (ConsumerName::new("billing").unwrap(), StreamName::new("orders/0").unwrap())
}

#[tokio::test]
async fn an_open_that_was_dropped_leaves_a_file_that_opens() {
    sweep(Cuts::Widening, 8, async |cut| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("failures.db");
        cut.cut(polled_eagerly(SqliteFailureLog::open(&path))).await;
        let log = SqliteFailureLog::open(&path).await.unwrap();
        write(&log, 0).await;
        let other = SqliteFailureLog::open(&path).await.unwrap();
        assert_eq!(generation(&other).await, Some(1), "{cut:?}");
    })
    .await;
}

#[tokio::test]
async fn a_close_that_was_dropped_keeps_what_was_acknowledged_and_the_log_can_be_used() {
    sweep(Cuts::Widening, 1, async |cut| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("failures.db");
        let log = SqliteFailureLog::open(&path).await.unwrap();
        write(&log, 0).await;
        // A write that is under way is what a close waits for.
        let writes = log.clone();
        let writing = tokio::spawn(async move { write(&writes, 1).await });
        tokio::task::yield_now().await;
        cut.cut(polled_eagerly(log.close())).await;
        writing.await.unwrap();
        assert_eq!(generation(&log).await, Some(2), "{cut:?}: a later call opens it again");
        write(&log, 2).await;
        log.close().await.unwrap();
        let other = SqliteFailureLog::open(&path).await.unwrap();
        assert_eq!(generation(&other).await, Some(3), "{cut:?}");
    })
    .await;
}
