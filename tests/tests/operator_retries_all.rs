//! Scenario 50: many parked entities are retried by one call, paced, and not into a downstream that is still broken.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ordered_consumer::{
    BATCH_REQUESTS_MAX, ConsumerName, Event, FailureLog, GateKey, GateQuery, Index, Limits, MemoryFailureLog,
    Pace, ParkCause, Request, RetryAllEnd, RetryAllProgress, StreamName,
    gate::{Failure, Guard, Input, Next, Settings, State},
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{
    Act, Running, Scripted, World, eventually, on_both_logs,
    operating::Log,
    world::{NAME, consumer, gates, operator},
};
use tokio::time::Instant;

on_both_logs!(
    a_preview_says_how_many_and_why_and_changes_nothing,
    a_call_that_is_dropped_is_made_again_and_retries_the_rest,
);

/// Parks so many entities, each with one event, as a consumer does whose handler fails for good.
async fn park(log: &impl FailureLog, prefix: &str, entities: u32, cause: ParkCause) {
    let stream = StreamName::new("orders/0").unwrap();
    let settings = Settings {
        release_window: 500,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(30),
        attempts_max: 15,
        held_events_max: u64::MAX,
        held_bytes_max: u64::MAX,
        mirror_parked: false,
    };
    let requests: Vec<Request> = (0..entities)
        .map(|number| {
            let entity = Bytes::from(format!("{prefix}{number:06}"));
            let index = Index::new(u128::from(number));
            let event = Event::builder(stream.clone(), index, entity.clone()).payload(entity.clone()).build();
            let (failure, next) = (Failure::new("Down", "the downstream is down"), Next::Park(cause));
            let key = GateKey { stream: stream.clone(), entity };
            let input = Input::Fail { event, attempts: 15, failure, next };
            Request { key, guard: Guard::Unguarded, input }
        })
        .collect();
    let name = ConsumerName::new(NAME).unwrap();
    for batch in requests.chunks(BATCH_REQUESTS_MAX) {
        log.apply(&name, &settings, batch).await.unwrap();
    }
}

/// So fast that a clock which is not paused makes nobody wait.
fn unpaced() -> Pace {
    Pace { first_per_second: 50_000, max_per_second: 50_000, failed_percent_max: 100, ..Pace::default() }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_parked_entities_are_retried_by_one_call_at_its_pace() {
    const ENTITIES: u32 = 100_000;
    let log = MemoryFailureLog::new();
    park(&log, "e", ENTITIES, ParkCause::Exhausted).await;
    let handler = Scripted::calm();
    let limits = Limits { retries_running_max: 200, ..Limits::default() };
    let retries = Running::start_retries(Arc::new(consumer(&handler, log.clone()).with_limits(limits)));
    let pace = Pace { max_per_second: 1_000, ..Pace::default() };
    let begun = Instant::now();
    // How many were retried by the end of each second.
    let mut by_second: BTreeMap<u64, u64> = BTreeMap::new();
    let report = operator(log.clone())
        .retry_all(&GateQuery::default(), &pace, "it is back", |progress| {
            by_second.insert(begun.elapsed().as_secs(), progress.retried);
        })
        .await
        .unwrap();
    assert_eq!((report.end, report.progress.retried), (RetryAllEnd::Done, u64::from(ENTITIES)));
    assert_eq!((report.progress.stale, report.progress.known_failed), (0, 0));
    let mut before = 0;
    for (second, retried) in &by_second {
        let steps_most = 2_u64.saturating_pow(u32::try_from(second / 5).unwrap());
        let most = (10 * steps_most).min(1_000) + 100;
        assert!(retried - before <= most, "{} in second {second}, at most {most}", retried - before);
        before = *retried;
    }
    let took = begun.elapsed().as_secs();
    assert!((100..200).contains(&took), "at its pace: {took} s of the paused clock");
    eventually("all are handled", || retries.stats().resolved == u64::from(ENTITIES)).await;
    retries.stop().await;
    assert_eq!(handler.runs.succeeded().len(), ENTITIES as usize, "each of them once");
    assert!(gates(&log).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_stops_when_what_it_retried_fails_again() {
    let log = MemoryFailureLog::new();
    park(&log, "e", 10_000, ParkCause::Exhausted).await;
    let handler = Scripted::new(|_, _| Act::Permanent);
    let retries = Running::start_retries(Arc::new(consumer(&handler, log.clone())));
    let operator = operator(log.clone());
    let report = operator.retry_all(&GateQuery::default(), &Pace::default(), "is it?", |_| {}).await.unwrap();
    assert_eq!(report.end, RetryAllEnd::TooManyFailed);
    let RetryAllProgress { retried, known_failed, known_succeeded, .. } = report.progress;
    assert!(retried < 100 && known_failed >= 20 && known_succeeded == 0, "{report:?}");
    let text = report.to_string();
    assert!(
        text.starts_with("stopped: too many fail again") && text.contains("the rest is as it was"),
        "{text}"
    );
    eventually("what failed again is parked again", || retries.stats().parked == retried).await;
    retries.stop().await;
    let counts = operator.totals().await.unwrap();
    assert_eq!(counts.parked_entities, 10_000);
    assert_eq!(operator.audit(None, 20_000).await.unwrap().len() as u64, retried);
}

// The latest of them count, however many succeeded before.
#[tokio::test(start_paused = true)]
async fn a_call_stops_when_the_downstream_breaks_again_half_way() {
    let log = MemoryFailureLog::new();
    park(&log, "e", 20_000, ParkCause::Exhausted).await;
    let runs = Arc::new(AtomicU32::new(0));
    let handler = Scripted::new({
        let runs = Arc::clone(&runs);
        move |_, _| if runs.fetch_add(1, Ordering::SeqCst) < 5_000 { Act::Succeed } else { Act::Permanent }
    });
    let retries = Running::start_retries(Arc::new(consumer(&handler, log.clone())));
    let report =
        operator(log.clone()).retry_all(&GateQuery::default(), &Pace::default(), "", |_| {}).await.unwrap();
    retries.stop().await;
    assert_eq!(report.end, RetryAllEnd::TooManyFailed);
    assert!((5_000..7_000).contains(&report.progress.retried), "{report:?}");
}

// Nothing is known of what becomes of them, so that it stays careful.
#[tokio::test(start_paused = true)]
async fn without_a_consumer_a_call_stays_at_its_first_rate() {
    let log = MemoryFailureLog::new();
    park(&log, "e", 600, ParkCause::Exhausted).await;
    let begun = Instant::now();
    let operator = operator(log.clone());
    let report = operator.retry_all(&GateQuery::default(), &Pace::default(), "", |_| {}).await.unwrap();
    assert_eq!((report.progress.retried, report.progress.per_second), (600, 10));
    assert!((59..=61).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

async fn a_preview_says_how_many_and_why_and_changes_nothing(log: Log) {
    park(&log, "a", 30, ParkCause::Exhausted).await;
    park(&log, "b", 12, ParkCause::Permanent).await;
    park(&log, "c", 3, ParkCause::Conflict).await;
    let operator = operator(Arc::clone(&log));
    let seen = operator.list(&GateQuery { limit: 1, ..GateQuery::default() }).await.unwrap().remove(0);
    operator.park(&seen, "mine").await.unwrap();
    let before = gates(&log).await;
    let any = GateQuery::default();
    let preview = operator.preview_retry_all(&any).await.unwrap();
    let told: Vec<_> =
        preview.by_cause.groups.iter().map(|group| (group.name.clone(), group.count.entities)).collect();
    assert_eq!(told, [(Some("exhausted".into()), 29), (Some("permanent".into()), 12)]);
    assert_eq!((preview.by_cause.total.entities, preview.left_alone.entities), (41, 4));
    assert_eq!(preview.sample.len(), 10);
    assert_eq!(preview.sample[0].key.entity, "a000001", "the one that ann parked is left alone");
    let of_prefix = GateQuery { entity_prefix: Some("b00000".into()), ..any.clone() };
    assert_eq!(operator.preview_retry_all(&of_prefix).await.unwrap().by_cause.total.entities, 10);
    let conflicts = GateQuery { cause: Some(ParkCause::Conflict), ..any.clone() };
    let preview = operator.preview_retry_all(&conflicts).await.unwrap();
    assert_eq!((preview.by_cause.total.entities, preview.left_alone.entities), (3, 0), "named, they are not");
    let gates_of = |gates: Vec<ordered_consumer::GatedEntity>| {
        gates.into_iter().map(|gate| gate.gate).collect::<Vec<_>>()
    };
    assert_eq!(gates_of(gates(&log).await), gates_of(before));
    let report = operator.retry_all(&any, &unpaced(), "", |_| {}).await.unwrap();
    assert_eq!((report.progress.retried, report.progress.left_alone), (41, 4));
    assert_eq!(operator.totals().await.unwrap().parked_entities, 4);
}

#[tokio::test(start_paused = true)]
async fn what_changed_since_it_was_listed_is_left_as_it_is_and_counted() {
    let log = MemoryFailureLog::new();
    park(&log, "e", 20, ParkCause::Exhausted).await;
    let (ann, faulty) = (operator(log.clone()), Arc::new(FaultyFailureLog::new(log.clone())));
    // The list is answered, and the batch is not; while it waits to be asked again, somebody else is quicker.
    faulty.script([None, Some(LogFault::Unavailable)]);
    let bob = operator(Arc::clone(&faulty));
    let (any, pace) = (GateQuery::default(), unpaced());
    let all = bob.retry_all(&any, &pace, "all", |_| {});
    let some = async {
        eventually("the batch was tried", || faulty.calls().apply == 1).await;
        for seen in gates(&log).await.iter().take(5) {
            ann.park(seen, "mine").await.unwrap();
        }
    };
    let (report, ()) = tokio::join!(all, some);
    let progress = report.unwrap().progress;
    assert_eq!((progress.retried, progress.stale), (15, 5));
    let parked = GateQuery { state: Some(State::Parked), limit: 100, ..any };
    let left = ann.list(&parked).await.unwrap();
    assert_eq!(left.len(), 5);
    assert!(left.iter().all(|gate| gate.gate.parked == Some(ParkCause::Operator)));
}

async fn a_call_that_is_dropped_is_made_again_and_retries_the_rest(log: Log) {
    park(&log, "e", 100, ParkCause::Exhausted).await;
    let operator = operator(Arc::clone(&log));
    let slow = Pace { first_per_second: 10, max_per_second: 10, failed_percent_max: 100, ..Pace::default() };
    let some = GateQuery::default();
    let mut retried = 0;
    {
        let (told, mut batches) = tokio::sync::mpsc::unbounded_channel();
        let call =
            operator.retry_all(&some, &slow, "first", move |progress| told.send(progress.retried).unwrap());
        let mut call = std::pin::pin!(call);
        while retried < 3 {
            tokio::select! {
                _ = &mut call => unreachable!("it takes ten seconds"),
                Some(now) = batches.recv() => retried = now,
            }
        }
    }
    assert_eq!(operator.totals().await.unwrap().parked_entities, 100 - retried);
    let report = operator.retry_all(&some, &unpaced(), "second", |_| {}).await.unwrap();
    assert_eq!(report.progress.retried, 100 - retried);
    assert_eq!(operator.audit(None, 1_000).await.unwrap().len(), 100, "each of them once");
}

// Paced by the limit on running retries, too.
#[tokio::test(start_paused = true)]
async fn many_parked_entities_that_are_retried_at_once_run_no_more_at_a_time_than_may() {
    let world = World::with(&[]);
    for number in 0..1_000 {
        world.send_to(&format!("e{number}"), &format!("e{number}"));
    }
    let open = Arc::new(AtomicBool::new(false));
    let handler = Scripted::new({
        let open = Arc::clone(&open);
        move |_, _| match open.load(Ordering::SeqCst) {
            false => Act::Permanent,
            true => Act::Sleep(Duration::from_millis(100)),
        }
    });
    let limits = Limits { retries_running_max: 25, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("all are parked", || running.stats().parked == 1_000).await;
    open.store(true, Ordering::SeqCst);
    let operator = running.operator("ann").unwrap();
    let report = operator.retry_all(&GateQuery::default(), &unpaced(), "it is back", |_| {}).await.unwrap();
    assert_eq!(report.progress.retried, 1_000);
    world.until_done(&handler.runs).await;
    running.stop().await;
    let mut moments: Vec<(usize, i32)> = Vec::new();
    for run in handler.runs.runs().iter().filter(|run| run.context.redelivered) {
        moments.extend([(run.began, 1), (run.ended.unwrap(), -1)]);
    }
    moments.sort_unstable();
    let mut at_once = 0;
    let most = moments
        .iter()
        .map(|(_, change)| {
            at_once += change;
            at_once
        })
        .max();
    assert_eq!(most, Some(25));
}
