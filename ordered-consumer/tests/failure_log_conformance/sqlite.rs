//! The embedded failure log, in a file of its own for each rule.

#![expect(clippy::expect_used, reason = "without a file there is nothing to test")]

use std::sync::Arc;

use ordered_consumer::{
    FailureLog, SqliteFailureLog,
    testing::{FaultyFailureLog, failure_log::Bench},
};

async fn bench() -> Bench {
    let directory = tempfile::tempdir().expect("a directory for the file");
    let clock = super::clock();
    let log = SqliteFailureLog::open(directory.path().join("failures.db")).await.expect("a new file");
    Bench::new(log.with_clock(clock.clone()), clock).keeping(directory)
}

/// As an application holds a log that it chose at run time, behind the wrapper of fault tests, slow, and with every call
/// dropped before its write and made again.
async fn wrapped_bench() -> Bench {
    let directory = tempfile::tempdir().expect("a directory for the file");
    let clock = super::clock();
    let log = SqliteFailureLog::open(directory.path().join("failures.db")).await.expect("a new file");
    let log: Arc<dyn FailureLog> = Arc::new(log.with_clock(clock.clone()));
    let log = FaultyFailureLog::new(log);
    log.slow(1, 1);
    log.drop_each_call_at(Some(1));
    Bench::new(log, clock).keeping(directory)
}

ordered_consumer::failure_log_conformance!(bench());

mod behind_an_arc_and_the_wrapper {
    ordered_consumer::failure_log_conformance!(super::wrapped_bench());
}
