use futures::future::join_all;

use super::*;
use crate::{
    Index, Limits, MemoryFailureLog, RetryPolicy, StreamName, TelemetryOptions, Timeouts,
    gate::{Failure, Guard},
    limits,
    telemetry::Telemetry,
    testing::FaultyFailureLog,
};

/// A batcher, and the log behind it, which counts.
fn batcher(pace: Duration) -> (Batcher, FaultyFailureLog<MemoryFailureLog>) {
    let consumer = ConsumerName::new("billing").unwrap();
    let log = FaultyFailureLog::new(MemoryFailureLog::default());
    let telemetry = Arc::new(Telemetry::new(&consumer, TelemetryOptions::default()));
    let metered = Arc::new(MeteredLog::new(Arc::new(log.clone()), telemetry));
    let settings = limits::settings(&Limits::default(), &Timeouts::default(), &RetryPolicy::default(), false);
    let streams = Arc::default();
    (Batcher::start(Writer { log: metered, consumer, settings: Arc::new(settings), streams, pace }), log)
}

/// What each of so many entities asks, `times` one after the other.
async fn ask(batcher: &Batcher, entities: usize, times: u64) -> Duration {
    let began = Instant::now();
    let asking = (0..entities).map(|entity| async move {
        let key = GateKey { stream: StreamName::new("orders/0").unwrap(), entity: entity.to_string().into() };
        for index in 0..times {
            let failure = Failure::new("e", "it failed");
            let input = Input::Ignore { index: Index::from(index), failure };
            let request = Request { key: key.clone(), guard: Guard::Shared { deadline: None }, input };
            batcher.ask(request).await.unwrap();
        }
    });
    join_all(asking).await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn whoever_writes_alone_waits_for_nothing() {
    let (batcher, log) = batcher(PACE);
    assert_eq!(ask(&batcher, 1, 50).await, Duration::ZERO);
    assert_eq!(log.calls().apply, 50);
}

#[tokio::test(start_paused = true)]
async fn writes_that_several_share_begin_at_most_every_pace() {
    let (batcher, log) = batcher(PACE);
    let took = ask(&batcher, 20, 11).await;
    let calls = u32::try_from(log.calls().apply).unwrap();
    assert!((11..=12).contains(&calls), "{calls}");
    assert!(took >= PACE * 10 && took <= PACE * calls, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn full_writes_wait_for_nothing() {
    let (batcher, log) = batcher(PACE);
    let took = ask(&batcher, BATCH_REQUESTS_MAX * 8, 1).await;
    // The first and the last need not be full.
    assert!(took <= PACE * 2 && (8..=10).contains(&log.calls().apply), "{took:?} {:?}", log.calls());
}

#[tokio::test(start_paused = true)]
async fn without_a_pace_nobody_waits() {
    let (batcher, _) = batcher(Duration::ZERO);
    assert_eq!(ask(&batcher, 20, 11).await, Duration::ZERO);
}
