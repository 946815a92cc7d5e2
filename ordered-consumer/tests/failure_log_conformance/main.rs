//! Every failure log keeps every rule of the suite.
#![cfg(feature = "testing")]

#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;

use ordered_consumer::{
    Clock, FailureLog, MemoryFailureLog, Timestamp,
    testing::{FaultyFailureLog, failure_log::Bench},
};

fn clock() -> Clock {
    Clock::manual(Timestamp::from_micros(1_700_000_000_000_000))
}

async fn memory_bench() -> Bench {
    let clock = clock();
    Bench::new(MemoryFailureLog::new().with_clock(clock.clone()), clock)
}

/// As an application holds a log that it chose at run time.
async fn shared_bench() -> Bench {
    let clock = clock();
    let log: Arc<dyn FailureLog> = Arc::new(MemoryFailureLog::new().with_clock(clock.clone()));
    Bench::new(log, clock)
}

/// The wrapper of fault tests must not be a fault itself.
async fn faulty_bench() -> Bench {
    let clock = clock();
    let log = FaultyFailureLog::new(MemoryFailureLog::new().with_clock(clock.clone()));
    Bench::new(log, clock)
}

mod memory {
    ordered_consumer::failure_log_conformance!(super::memory_bench());
}

mod behind_an_arc {
    ordered_consumer::failure_log_conformance!(super::shared_bench());
}

mod with_no_faults_planned {
    ordered_consumer::failure_log_conformance!(super::faulty_bench());
}

/// Every call waits, twice before the write and twice after it.
async fn slow_bench() -> Bench {
    let clock = clock();
    let log = FaultyFailureLog::new(MemoryFailureLog::new().with_clock(clock.clone()));
    log.slow(2, 2);
    Bench::new(log, clock)
}

/// Every call is dropped before its write, and made again: what was dropped must have done nothing.
async fn dropped_bench() -> Bench {
    let clock = clock();
    let log = FaultyFailureLog::new(MemoryFailureLog::new().with_clock(clock.clone()));
    log.slow(2, 0);
    log.drop_each_call_at(Some(2));
    Bench::new(log, clock)
}

mod slow {
    ordered_consumer::failure_log_conformance!(super::slow_bench());
}

mod with_every_call_dropped_before_its_write {
    ordered_consumer::failure_log_conformance!(super::dropped_bench());
}
