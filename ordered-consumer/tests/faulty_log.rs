//! The failure log with faults: each does what its name says, when it is planned, and calls are counted.
#![cfg(feature = "testing")]
#![expect(clippy::unwrap_used, reason = "what fails unplanned ends its test")]

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use ordered_consumer::{
    ConsumerName, Event, FailureLog, FailureLogError, GateKey, Index, MemoryFailureLog, Request, StreamName,
    gate::{Failure, Guard, Input, Next, Settings},
    testing::{Calls, FaultyFailureLog, LogFault},
};

struct Bench {
    log: FaultyFailureLog<MemoryFailureLog>,
    consumer: ConsumerName,
    settings: Settings,
}

impl Bench {
    fn new() -> Self {
        let settings = Settings {
            release_window: 1,
            redelivery_timeout: Duration::from_secs(30),
            claim_timeout: Duration::from_secs(60),
            attempts_max: 5,
            held_events_max: 10,
            held_bytes_max: 1_000,
            mirror_parked: false,
        };
        let consumer = ConsumerName::new("billing").unwrap();
        Self { log: FaultyFailureLog::new(MemoryFailureLog::new()), consumer, settings }
    }

    /// Writes one failed event.
    async fn write(&self) -> Result<(), FailureLogError> {
        let stream = StreamName::new("orders/0").unwrap();
        let key = GateKey { stream: stream.clone(), entity: Bytes::from_static(b"e") };
        let event = Event::builder(stream, Index::new(1), "e").build();
        let (failure, next) = (Failure::new("E", "no"), Next::Retry(Duration::ZERO));
        let input = Input::Fail { event, attempts: 1, failure, next };
        let requests = [Request { key, guard: Guard::Unguarded, input }];
        self.log.apply(&self.consumer, &self.settings, &requests).await.map(drop)
    }

    /// Whether it is written, asked of the log without faults.
    async fn is_written(&self) -> bool {
        self.log.inner().totals(&self.consumer).await.unwrap().held_events == 1
    }
}

#[tokio::test]
async fn faults_before_and_after_the_write_tell_what_they_promise() {
    for (fault, unknown, written) in [
        (LogFault::Unavailable, false, false),
        (LogFault::UnknownUnwritten, true, false),
        (LogFault::UnknownWritten, true, true),
    ] {
        let bench = Bench::new();
        bench.log.fail_next(1, fault);
        let error = bench.write().await.unwrap_err();
        assert_eq!((error.is_outcome_unknown(), error.is_transient()), (unknown, true), "{fault:?}");
        assert_eq!(bench.is_written().await, written, "{fault:?}");
        assert!(bench.write().await.is_ok(), "the same call again finds out");
        assert!(bench.is_written().await);
    }
}

#[tokio::test]
async fn a_call_that_only_reads_has_no_unknown_outcome() {
    let bench = Bench::new();
    bench.log.fail_next(2, LogFault::UnknownWritten);
    for _ in 0..2 {
        let error = bench.log.totals(&bench.consumer).await.unwrap_err();
        assert!(matches!(error, FailureLogError::Unavailable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_script_names_the_call_that_fails_and_recovery_forgets_it() {
    let bench = Bench::new();
    bench.log.fail_after(2, LogFault::Unavailable);
    let outcomes = [bench.write().await, bench.write().await, bench.write().await, bench.write().await];
    assert_eq!(outcomes.map(|outcome| outcome.is_ok()), [true, true, false, true]);
    bench.log.fail_next(5, LogFault::Unavailable);
    bench.log.recover();
    assert!(bench.write().await.is_ok());
}

#[tokio::test]
async fn a_stalled_call_goes_on_when_it_is_let_go_and_not_before() {
    for (fault, written) in [(LogFault::StallsUnwritten, false), (LogFault::StallsWritten, true)] {
        let bench = Arc::new(Bench::new());
        bench.log.fail_next(1, fault);
        let call = tokio::spawn({
            let bench = Arc::clone(&bench);
            async move { bench.write().await }
        });
        bench.log.until_stalled(1).await;
        assert_eq!(bench.is_written().await, written, "{fault:?}");
        assert!(!call.is_finished());
        bench.log.unstall();
        call.await.unwrap().unwrap();
        assert!(bench.is_written().await);
    }
}

#[tokio::test]
async fn a_stalled_log_holds_every_call_and_a_dropped_one_has_done_nothing() {
    let bench = Arc::new(Bench::new());
    bench.log.stall();
    let calls: Vec<_> = (0..3)
        .map(|_| {
            let bench = Arc::clone(&bench);
            tokio::spawn(async move { bench.write().await })
        })
        .collect();
    bench.log.until_stalled(3).await;
    for call in calls {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    assert!(!bench.is_written().await);
    bench.log.unstall();
    assert!(bench.write().await.is_ok());
}

#[tokio::test]
async fn chance_is_the_same_for_the_same_seed() {
    let run = async |seed: u64| {
        let bench = Bench::new();
        bench.log.fail_randomly(seed, 3, &[LogFault::Unavailable, LogFault::UnknownWritten]);
        let mut outcomes = Vec::new();
        for _ in 0..64 {
            outcomes.push(bench.write().await.map_err(|error| error.is_outcome_unknown()));
        }
        outcomes
    };
    let first = run(1).await;
    assert_eq!(first, run(1).await);
    assert_ne!(first, run(2).await);
    for kind in [Ok(()), Err(false), Err(true)] {
        assert!(first.contains(&kind), "{kind:?} never happens");
    }
}

#[tokio::test]
async fn calls_are_counted_by_method_whatever_comes_of_them() {
    let bench = Bench::new();
    assert_eq!(bench.log.calls().total(), 0);
    bench.log.fail_next(1, LogFault::Unavailable);
    assert!(bench.write().await.is_err());
    assert!(bench.write().await.is_ok());
    let clone = bench.log.clone();
    clone.take_due(&bench.consumer, &bench.settings, 1).await.unwrap();
    let expected = Calls { apply: 2, requests: 2, take_due: 1, ..Calls::default() };
    assert_eq!((bench.log.calls(), bench.log.calls().total()), (expected, 3));
}
