//! Several logs on one file, as several processes have.

use std::{collections::BTreeSet, time::Duration};

use ordered_consumer::{
    FailureLog, FailureLogError, SqliteFailureLog,
    gate::{Guard, Input, Reply, Verdict},
};
use sqlx::Connection;

use crate::support::{
    Bench, apply, arrive, consumer, event, fail, held, indexes, key, listed, one, request, settings, stream,
};

const EVENTS: u128 = 200;

/// What one of two consumers of the same events does: whatever it is told to run, fails.
async fn consume(log: SqliteFailureLog) -> Vec<u64> {
    let mut versions = Vec::new();
    for index in 1..=EVENTS {
        let event = event(format!("entity {}", index % 7), index);
        if one(&log, arrive(event.clone())).await == Reply::Arrived(vec![Verdict::Run]) {
            one(&log, fail(event)).await;
        }
        versions.extend(listed(&log).await.into_iter().map(|gated| gated.gate.version));
    }
    versions
}

#[test]
fn two_logs_on_one_file_in_two_runtimes_lose_nothing_and_double_nothing() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let main = runtime();
    let bench = main.block_on(Bench::new());
    let other = main.block_on(bench.another());
    let log = bench.log.clone();
    std::thread::scope(|scope| {
        scope.spawn(|| runtime().block_on(consume(other)));
        scope.spawn(|| runtime().block_on(consume(log)));
    });
    let mut kept = Vec::new();
    for entity in 0..7 {
        let indexes = indexes(&main.block_on(held(&bench.log, format!("entity {entity}"))));
        assert!(indexes.is_sorted());
        kept.extend(indexes);
    }
    kept.sort_unstable();
    assert_eq!(kept, (1..=EVENTS).collect::<Vec<_>>());
    assert_eq!(u128::from(main.block_on(bench.log.totals(&consumer())).unwrap().held_events), EVENTS);
}

#[tokio::test]
async fn two_logs_on_one_file_are_given_different_versions() {
    let bench = Bench::new().await;
    let other = bench.another().await;
    for index in 0..10 {
        let log = if index % 2 == 0 { &bench.log } else { &other };
        apply(log, &[fail(event(format!("entity {index}"), 1))]).await;
    }
    let versions: BTreeSet<u64> = listed(&bench.log).await.iter().map(|gated| gated.gate.version).collect();
    assert_eq!(versions.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_may_open_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.db");
    let opening: Vec<_> = (0..8).map(|_| tokio::spawn(SqliteFailureLog::open(path.clone()))).collect();
    for opened in opening {
        opened.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_file_that_others_keep_locked_is_unavailable_and_nothing_is_written() {
    let bench = Bench::new().await;
    apply(&bench.log, &[fail(event("first", 1))]).await;
    let log = bench.log.clone().with_busy_timeout(Duration::from_millis(1));
    let mut stranger = bench.stranger().await;
    sqlx::query("begin immediate").execute(&mut stranger).await.unwrap();
    let error = log.apply(&consumer(), &settings(), &[fail(event("e", 1))]).await.unwrap_err();
    assert!(matches!(error, FailureLogError::Unavailable { .. }), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(indexes(&held(&log, "first").await), [1], "reads go on");
    sqlx::query("rollback").execute(&mut stranger).await.unwrap();
    assert!(held(&log, "e").await.is_empty());
    apply(&log, &[fail(event("e", 1))]).await;
    assert_eq!(indexes(&held(&log, "e").await), [1]);
    stranger.close().await.unwrap();
}

#[tokio::test]
async fn a_deadline_is_reckoned_when_the_lock_is_had_and_not_before() {
    let bench = Bench::new().await;
    let mut late = arrive(event("e", 1));
    late.guard = Guard::Shared { deadline: Some(crate::support::START) };
    let reply = one(&bench.log, late).await;
    assert!(matches!(reply, Reply::Fenced(_)), "{reply:?}");
}

#[tokio::test]
async fn a_paused_clock_of_tokio_does_not_end_calls_early() {
    let bench = Bench::new().await;
    tokio::time::pause();
    for index in 1..50 {
        apply(&bench.log, &[request(&event("e", index), Input::Take)]).await;
        apply(&bench.log, &[fail(event("e", index))]).await;
    }
    assert_eq!(held(&bench.log, "e").await.len(), 49);
    let (gated, _) =
        bench.log.which_gated(&consumer(), &stream(), &[key("e").entity, key("f").entity]).await.unwrap();
    assert_eq!(gated, [true, false]);
}
