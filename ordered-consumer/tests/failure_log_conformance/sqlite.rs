//! The embedded failure log, in a file of its own for each rule.

#![expect(clippy::expect_used, reason = "without a file there is nothing to test")]

use ordered_consumer::{SqliteFailureLog, testing::failure_log::Bench};

async fn bench() -> Bench {
    let directory = tempfile::tempdir().expect("a directory for the file");
    let clock = super::clock();
    let log = SqliteFailureLog::open(directory.path().join("failures.db")).await.expect("a new file");
    Bench::new(log.with_clock(clock.clone()), clock).keeping(directory)
}

ordered_consumer::failure_log_conformance!(bench());
