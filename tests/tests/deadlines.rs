//! Scenario 51, at the lowest level: deadlines are told in the failure log's clock, whatever the processes' clocks say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    Clock, ConsumerName, Delivery, Event, FailureLog, GateKey, Index, Lease, MemoryFailureLog, Outcome,
    ProcessError, Request, SqliteFailureLog, StreamName, Timestamp,
    gate::{Arrival, ClaimToken, Failure, FenceRefusal, Guard, Input, Next, Reply, Settings, Verdict},
};
use ordered_consumer_tests::{
    Act, Scripted,
    world::{NAME, consumer, gates},
};

const SKEW: Duration = Duration::from_secs(600);
/// In 2001: far from what the clock of the test's own machine says.
const START: Timestamp = Timestamp::from_micros(1_000_000_000_000_000);

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").unwrap();
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

fn leased(index: u128, text: &str, lasts: Duration) -> Delivery {
    Delivery { lease: Some(Lease::new(lasts)), ..Delivery::from(event(index, text)) }
}

fn settings() -> Settings {
    Settings {
        release_window: 500,
        redelivery_timeout: Duration::from_secs(30),
        claim_timeout: Duration::from_secs(30),
        attempts_max: 10,
        held_events_max: 1_000,
        held_bytes_max: 1 << 20,
        mirror_parked: false,
    }
}

async fn apply(log: &dyn FailureLog, guard: Guard, input: Input) -> Reply {
    let key = GateKey { stream: event(1, "a").stream().clone(), entity: "a".into() };
    let name = ConsumerName::new(NAME).unwrap();
    log.apply(&name, &settings(), &[Request { key, guard, input }]).await.unwrap().answers.remove(0).reply
}

/// Both failure logs, with one clock, and the directory of the second.
async fn logs(clock: &Clock) -> (Vec<Arc<dyn FailureLog>>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let sqlite = SqliteFailureLog::open(directory.path().join("failures.db")).await.unwrap();
    let memory = MemoryFailureLog::new().with_clock(clock.clone());
    (vec![Arc::new(memory), Arc::new(sqlite.with_clock(clock.clone()))], directory)
}

#[tokio::test]
async fn a_write_past_its_deadline_by_the_logs_clock_is_refused_and_one_before_it_is_not() {
    let clock = Clock::manual(START);
    let (logs, _directory) = logs(&clock).await;
    for log in logs {
        let fail = |index| Input::Fail {
            event: event(index, "a1"),
            attempts: 1,
            failure: Failure::new("E", "not yet"),
            next: Next::Retry(Duration::from_secs(1)),
        };
        let hold =
            |index| Input::Arrive { events: vec![Arrival { event: event(index, "a2"), suspect: false }] };
        let until = |deadline| Guard::Shared { deadline: Some(deadline) };
        let refused = Reply::Fenced(FenceRefusal::DeadlinePassed);
        let micro = Duration::from_micros(1);
        for passed in [START, START.minus(micro), START.minus(SKEW)] {
            assert_eq!(apply(&*log, until(passed), fail(1)).await, refused);
            assert_eq!(apply(&*log, until(passed), hold(1)).await, refused);
        }
        assert!(gates(&log).await.is_empty(), "nothing is written");
        assert!(matches!(apply(&*log, until(START.plus(micro)), fail(1)).await, Reply::Logged(_)));
        let held = apply(&*log, until(START.plus(micro)), hold(2)).await;
        assert_eq!(held, Reply::Arrived(vec![Verdict::Held]));
        assert_eq!(apply(&*log, until(START), hold(3)).await, refused);
    }
}

// The processes' own clocks, and the log's, may be decades apart: leases are told as spans, and due times by the log.
#[tokio::test]
async fn a_process_whose_clock_is_decades_from_the_logs_tells_deadlines_in_the_logs() {
    let clock = Clock::manual(START);
    let (logs, _directory) = logs(&clock).await;
    for log in logs {
        let handler = Scripted::failing(&[("a1", 9), ("b1", 9)]);
        let consumer = consumer(&handler, Arc::clone(&log));
        // The span is longer than any machine takes for this test.
        let long = Duration::from_secs(3_600);
        let outcome = consumer.process(leased(1, "a1", long)).await.unwrap();
        assert_eq!(outcome, Outcome::RetryScheduled { due_at: START.plus(Duration::from_secs(1)) });
        assert_eq!(consumer.process(leased(2, "a2", long)).await.unwrap(), Outcome::Held);
        let over = consumer.process(leased(1, "b1", Duration::ZERO)).await.unwrap_err();
        assert!(matches!(over, ProcessError::DeadlinePassed { .. }), "{over:?}");
    }
}

// The log's clock goes ten minutes ahead between the look-up and the write: on the safe side, the write is refused, and
// the event comes again.
#[tokio::test]
async fn a_log_whose_clock_leaps_ahead_meanwhile_refuses_the_write_and_loses_nothing() {
    let clock = Clock::manual(START);
    let (logs, _directory) = logs(&clock).await;
    for log in logs {
        let leap = clock.clone();
        let handler = Scripted::new(move |_, _| {
            leap.advance(SKEW);
            Act::Fail("and the clock has leapt")
        });
        let consumer = consumer(&handler, Arc::clone(&log));
        let lasts = SKEW / 2;
        let refused = consumer.process(leased(1, "a1", lasts)).await.unwrap_err();
        assert!(matches!(refused, ProcessError::DeadlinePassed { .. }), "{refused:?}");
        assert!(gates(&log).await.is_empty());
        // When it comes again with a lease that bears the leap, it is logged.
        let outcome = consumer.process(leased(1, "a1", SKEW * 2)).await.unwrap();
        assert!(matches!(outcome, Outcome::RetryScheduled { .. }));
    }
}

/// Two processes with one file, the second's clock ahead of the first's by ten minutes.
async fn skewed() -> (SqliteFailureLog, SqliteFailureLog, Clock, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.db");
    let (behind, ahead) = (Clock::manual(START), Clock::manual(START.plus(SKEW)));
    let first = SqliteFailureLog::open(&path).await.unwrap().with_clock(behind.clone());
    let second = SqliteFailureLog::open(&path).await.unwrap().with_clock(ahead);
    (first, second, behind, directory)
}

// A claim looks lost to a process whose clock is ahead: it runs the event again, and one of the two results counts.
#[tokio::test]
async fn of_two_runs_that_skewed_clocks_let_happen_one_counts_and_nothing_is_skipped() {
    let (first, second, _, _directory) = skewed().await;
    let handler = Scripted::failing(&[("a1", 1)]);
    let consumer = consumer(&handler, first.clone());
    consumer.process(event(1, "a1")).await.unwrap();
    consumer.process(event(2, "a2")).await.unwrap();
    let claim = |attempts, token| Input::Claim { index: Index::new(1), attempts, token };
    let resolve = |token| Input::Resolve { token, in_process: true, next: None, ignored: None };
    let (mine, theirs) = (ClaimToken::new(1), ClaimToken::new(2));
    assert!(matches!(apply(&first, Guard::Unguarded, claim(1, mine)).await, Reply::Claimed(_)));
    let name = ConsumerName::new(NAME).unwrap();
    let taken = second.take_due(&name, &settings(), 10).await.unwrap().taken;
    assert_eq!(taken.len(), 1, "by its clock the run was lost");
    assert!(taken[0].taken.alone, "so the next one runs alone");
    assert!(matches!(apply(&second, Guard::Unguarded, claim(2, theirs)).await, Reply::Claimed(_)));
    assert_eq!(apply(&first, Guard::Unguarded, resolve(mine)).await, Reply::ClaimLost);
    assert!(matches!(apply(&second, Guard::Unguarded, resolve(theirs)).await, Reply::Resolved(_)));
    assert_eq!(apply(&second, Guard::Unguarded, resolve(theirs)).await, Reply::ClaimLost, "once");
    let gate = gates(&first).await.remove(0).gate;
    assert_eq!((gate.head, gate.held_events), (Some(Index::new(2)), 1), "what is behind it is still to come");
}

// What a process ahead has scheduled is late for one behind, and never lost.
#[tokio::test]
async fn what_a_process_ahead_has_scheduled_is_late_to_one_behind_and_not_lost() {
    let (first, second, behind, _directory) = skewed().await;
    let handler = Scripted::failing(&[("a1", 1)]);
    consumer(&handler, second.clone()).process(event(1, "a1")).await.unwrap();
    let name = ConsumerName::new(NAME).unwrap();
    let due = first.take_due(&name, &settings(), 10).await.unwrap();
    assert!(due.taken.is_empty());
    assert_eq!(due.next_due_in, Some(SKEW + Duration::from_secs(1)), "it knows when to look");
    behind.advance(SKEW + Duration::from_secs(1));
    assert_eq!(first.take_due(&name, &settings(), 10).await.unwrap().taken.len(), 1);
    assert!(second.take_due(&name, &settings(), 10).await.unwrap().taken.is_empty(), "and it is taken once");
}
