//! Callers that are dropped, and processes that are killed.

use std::{
    future::Future,
    io::{BufRead, BufReader},
    pin::pin,
    process::{Command, Stdio},
    task::{Context, Waker},
};

use ordered_consumer::{
    FailureLog, Request, SqliteFailureLog,
    gate::{Arrival, Input, Reply, Verdict},
};

use crate::support::{Bench, apply, arrive, consumer, event, fail, held, indexes, one, request, settings};

/// Polls a future to its n-th `Pending`, then drops it. False when it was ready before.
async fn dropped_at<F: Future>(future: F, pending: usize) -> bool {
    let mut future = pin!(future);
    for _ in 0..pending {
        // Nobody is woken: the runtime's other tasks get their turn between two polls.
        if future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_dropped_at_any_poll_is_whole_or_not_there_and_leaves_no_transaction() {
    let bench = Bench::new().await;
    let mut stranger = bench.stranger().await;
    for pending in 0..40 {
        let entities = [format!("a {pending}"), format!("b {pending}"), format!("c {pending}")];
        let requests: Vec<Request> = entities.iter().map(|entity| fail(event(entity.clone(), 1))).collect();
        dropped_at(bench.log.apply(&consumer(), &settings(), &requests), pending).await;
        // Queued behind what may still run; that it gets through shows that no transaction was left open.
        apply(&bench.log, &[fail(event(format!("after {pending}"), 1))]).await;
        // One statement, because the dropped call may still come to its end, at any moment.
        let [a, b, c] = entities.map(String::into_bytes);
        let (kept,): (i64,) = sqlx::query_as("select count(*) from event where entity in (?, ?, ?)")
            .bind(a)
            .bind(b)
            .bind(c)
            .fetch_one(&mut stranger)
            .await
            .unwrap();
        assert!(kept == 0 || kept == 3, "{kept} of 3 after {pending} polls");
        sqlx::query("begin immediate").execute(&mut stranger).await.unwrap();
        let (seen,): (i64,) = sqlx::query_as("select count(*) from event where entity = ?")
            .bind(format!("after {pending}").as_bytes())
            .fetch_one(&mut stranger)
            .await
            .unwrap();
        assert_eq!(seen, 1, "what was acknowledged is there for others to see");
        sqlx::query("rollback").execute(&mut stranger).await.unwrap();
    }
}

#[test]
fn a_runtime_that_goes_away_leaves_no_transaction_to_the_next_one() {
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let main = runtime();
    let bench = main.block_on(Bench::new());
    for pending in 0..40 {
        let doomed = runtime();
        doomed.block_on(async {
            let requests = [fail(event(format!("doomed {pending}"), 1))];
            dropped_at(bench.log.apply(&consumer(), &settings(), &requests), pending).await;
        });
        drop(doomed);
        main.block_on(apply(&bench.log, &[fail(event(format!("after {pending}"), 1))]));
        assert_eq!(main.block_on(held(&bench.log, format!("after {pending}"))).len(), 1);
    }
}

const CHILD_FILE: &str = "ORDERED_CONSUMER_TEST_CHILD_FILE";
const CHILD_TEST: &str = "crashes::child_that_holds_events_until_it_is_killed";

/// Not a test of its own: the process that `nothing_acknowledged_is_missing_after_kill_9` kills.
#[tokio::test]
async fn child_that_holds_events_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD_FILE) else { return };
    let log = SqliteFailureLog::open(path).await.unwrap();
    one(&log, fail(event("e", 0))).await;
    for batch in 0_u128.. {
        let events = (1..=20).map(|place| event("e", batch * 20 + place));
        let events = events.map(|event| Arrival { event, suspect: false }).collect();
        let reply = one(&log, request(&event("e", 0), Input::Arrive { events })).await;
        assert_eq!(reply, Reply::Arrived(vec![Verdict::Held; 20]));
        println!("acknowledged {}", batch * 20 + 20);
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_missing_after_kill_9() {
    let bench = Bench::new().await;
    bench.log.close().await.unwrap();
    for acknowledged_min in [20, 400, 1_000] {
        let path = bench.directory.path().join(format!("killed after {acknowledged_min}.db"));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([CHILD_TEST, "--exact", "--nocapture"])
            .env(CHILD_FILE, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = || {
            let line = lines.next()?.unwrap();
            Some(line.strip_prefix("acknowledged ").map(|index| index.parse::<u128>().unwrap()))
        };
        while acknowledged < acknowledged_min {
            acknowledged = told().expect("the child goes on until it is killed").unwrap_or(acknowledged);
        }
        // On Unix this is SIGKILL; the child is somewhere in a write.
        child.kill().unwrap();
        child.wait().unwrap();
        while let Some(line) = told() {
            acknowledged = line.unwrap_or(acknowledged);
        }
        let log = SqliteFailureLog::open(&path).await.unwrap();
        let kept = indexes(&held(&log, "e").await);
        assert!(kept.len() as u128 > acknowledged, "{acknowledged} acknowledged, {} kept", kept.len());
        assert_eq!(kept, (0..kept.len() as u128).collect::<Vec<_>>(), "no gap");
        assert_eq!((kept.len() - 1) % 20, 0, "whole batches");
        let totals = log.totals(&consumer()).await.unwrap();
        assert_eq!(totals.held_events, kept.len() as u64, "the gate counts what is there");
        assert_eq!(one(&log, arrive(event("e", u128::MAX))).await, Reply::Arrived(vec![Verdict::Held]));
    }
}
