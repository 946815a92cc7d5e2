//! The guard that `take_over` returns: no store call for a clear entity, and what the next owner is left with.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use ordered_consumer::{
    Event, FailureLog, Index, Limits, MemoryFailureLog, OrderedConsumer, Outcome, ProcessError, RunError,
    StreamGuard, StreamName, TakeOverOptions, testing::FaultyFailureLog,
};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, eventually, on_both_logs,
    world::{at_once, consumer, gates},
};

on_both_logs!(
    a_guard_asks_the_log_about_no_entity_that_is_clear,
    a_failure_has_what_follows_it_held_until_it_is_resolved_and_then_flow_again,
    an_owner_is_fenced_after_somebody_else_took_over_and_writes_nothing,
    released_in_good_order_a_stream_leaves_nothing_suspect,
    dropped_a_guard_leaves_its_first_events_suspect_to_the_next_owner,
    suspects_that_have_not_come_stay_so_for_the_owner_after_next,
    tombstones_are_known_to_the_next_owner_and_old_events_are_duplicates,
);

type Log = Arc<dyn FailureLog>;

fn stream() -> StreamName {
    StreamName::new("orders/0").unwrap()
}

fn event(index: u128, text: &str) -> Event {
    Event::builder(stream(), Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

fn owner(handler: &Scripted, log: &Log) -> OrderedConsumer<Scripted> {
    let limits = Limits { uncommitted_max: 3, ..Limits::default() };
    consumer(handler, Arc::clone(log)).with_retry_policy(at_once()).with_limits(limits)
}

async fn take(consumer: &OrderedConsumer<Scripted>) -> StreamGuard<Scripted> {
    consumer.take_over(stream(), TakeOverOptions::default(), async || true).await.unwrap()
}

async fn a_guard_asks_the_log_about_no_entity_that_is_clear(log: Log) {
    let counted = FaultyFailureLog::new(log);
    let handler = Scripted::failing(&[("f1", 1)]);
    let consumer = consumer(&handler, counted.clone());
    let guard = consumer.take_over(stream(), TakeOverOptions::default(), async || true).await.unwrap();
    assert_eq!(guard.stream(), &stream());
    let before = counted.calls().total();
    for index in 1..=100 {
        let text = format!("{}{index}", index % 7);
        assert_eq!(guard.process(event(index, &text)).await.unwrap(), Outcome::Handled);
    }
    assert_eq!(counted.calls().total(), before, "not one call");
    assert!(matches!(guard.process(event(101, "f1")).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(counted.calls().total(), before + 1, "its failure is one");
    assert_eq!(guard.process(event(102, "f2")).await.unwrap(), Outcome::Held);
    assert_eq!(counted.calls().total(), before + 2, "and what is held behind it one more");
    assert_eq!(guard.process(event(103, "1")).await.unwrap(), Outcome::Handled);
    assert_eq!(counted.calls().total(), before + 2, "its neighbours go on as before");
}

async fn a_failure_has_what_follows_it_held_until_it_is_resolved_and_then_flow_again(log: Log) {
    let handler = Scripted::failing(&[("a1", 2)]);
    let consumer = Arc::new(owner(&handler, &log));
    let guard = take(&consumer).await;
    assert!(matches!(guard.process(event(1, "a1")).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(guard.process(event(2, "a2")).await.unwrap(), Outcome::Held);
    assert_eq!(guard.process(event(1, "a1")).await.unwrap(), Outcome::Duplicate);
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("both are resolved", || consumer.stats().resolved == 2).await;
    retries.stop().await;
    assert_eq!(guard.process(event(2, "a2")).await.unwrap(), Outcome::Duplicate);
    assert_eq!(guard.process(event(3, "a3")).await.unwrap(), Outcome::Handled);
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3"]);
    let other = Event::builder(StreamName::new("orders/1").unwrap(), Index::new(1), "a").build();
    assert!(matches!(guard.process(other).await, Err(ProcessError::Fenced { .. })), "it owns one stream");
}

async fn an_owner_is_fenced_after_somebody_else_took_over_and_writes_nothing(log: Log) {
    let latch = Latch::new();
    let old = Scripted::new({
        let latch = latch.clone();
        move |_, _| Act::wait_and_fail(&latch)
    });
    let new = old.beside(|_, _| Act::Succeed);
    let (late, owner) = (owner(&old, &log), owner(&new, &log));
    let late = Arc::new(take(&late).await);
    let running = {
        let late = Arc::clone(&late);
        tokio::spawn(async move { late.process(event(1, "a1")).await })
    };
    eventually("the old owner runs it", || old.runs.times("a1") == 1).await;
    let guard = take(&owner).await;
    latch.open();
    let refused = running.await.unwrap().unwrap_err();
    assert!(matches!(&refused, ProcessError::Fenced { .. }) && !refused.is_transient(), "{refused:?}");
    assert!(gates(&log).await.is_empty(), "its failure is not written");
    let refused = late.process(event(2, "b1")).await.unwrap_err();
    assert!(matches!(refused, ProcessError::Fenced { .. }), "it knows from then on: {refused:?}");
    assert_eq!(old.runs.times("b1"), 0);
    let late = Arc::into_inner(late).unwrap();
    assert!(matches!(late.release(Some(Index::new(9))).await, Err(RunError::TakeOver { .. })));
    // The new owner is not disturbed by any of it.
    assert_eq!(guard.process(event(1, "a1")).await.unwrap(), Outcome::Suspect);
    guard.release(None).await.unwrap();
}

async fn released_in_good_order_a_stream_leaves_nothing_suspect(log: Log) {
    let handler = Scripted::calm();
    let (first, second) = (owner(&handler, &log), owner(&handler, &log));
    let guard = take(&first).await;
    guard.process(event(1, "a1")).await.unwrap();
    guard.release(Some(Index::new(1))).await.unwrap();
    let guard = take(&second).await;
    assert_eq!(guard.process(event(2, "a2")).await.unwrap(), Outcome::Handled);
    assert_eq!(second.stats().suspects, 0);
}

async fn dropped_a_guard_leaves_its_first_events_suspect_to_the_next_owner(log: Log) {
    let handler = Scripted::calm();
    let (first, second) = (owner(&handler, &log), Arc::new(owner(&handler, &log)));
    let guard = take(&first).await;
    guard.process(event(1, "a1")).await.unwrap();
    drop(guard);
    let guard = take(&second).await;
    for (index, text) in [(1, "a1"), (2, "b1"), (3, "c1")] {
        assert_eq!(guard.process(event(index, text)).await.unwrap(), Outcome::Suspect, "{text}");
    }
    assert_eq!(
        guard.process(event(4, "d1")).await.unwrap(),
        Outcome::Handled,
        "three may have been under way"
    );
    assert_eq!(guard.process(event(5, "b2")).await.unwrap(), Outcome::Held, "behind its suspect");
    let retries = Running::start_retries(Arc::clone(&second));
    eventually("all of it is resolved", || second.stats().resolved == 4).await;
    retries.stop().await;
    assert_eq!(handler.runs.succeeded_of("b"), ["b1", "b2"]);
    assert_eq!(guard.process(event(6, "b3")).await.unwrap(), Outcome::Handled);
}

async fn suspects_that_have_not_come_stay_so_for_the_owner_after_next(log: Log) {
    let handler = Scripted::calm();
    let owners = [owner(&handler, &log), owner(&handler, &log), owner(&handler, &log)];
    drop(take(&owners[0]).await);
    let guard = take(&owners[1]).await;
    assert_eq!(guard.process(event(1, "a1")).await.unwrap(), Outcome::Suspect);
    guard.release(Some(Index::new(1))).await.unwrap();
    let guard = take(&owners[2]).await;
    assert_eq!(guard.process(event(2, "b1")).await.unwrap(), Outcome::Suspect);
}

async fn tombstones_are_known_to_the_next_owner_and_old_events_are_duplicates(log: Log) {
    let handler = Scripted::failing(&[("a1", 1)]);
    let (first, second) = (Arc::new(owner(&handler, &log)), owner(&handler, &log));
    let guard = take(&first).await;
    guard.process(event(1, "a1")).await.unwrap();
    guard.process(event(2, "a2")).await.unwrap();
    let retries = Running::start_retries(Arc::clone(&first));
    eventually("both are resolved", || first.stats().resolved == 2).await;
    retries.stop().await;
    guard.release(None).await.unwrap();
    let guard = take(&second).await;
    for (index, text) in [(1, "a1"), (2, "a2")] {
        assert_eq!(guard.process(event(index, text)).await.unwrap(), Outcome::Duplicate);
    }
    assert_eq!(guard.process(event(3, "a3")).await.unwrap(), Outcome::Handled);
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3"]);
}

// Nobody but the broker knows whose the stream is.
#[tokio::test(start_paused = true)]
async fn a_stream_that_the_broker_does_not_confirm_is_not_taken_over() {
    let log = MemoryFailureLog::new();
    let consumer = consumer(&Scripted::calm(), log.clone());
    let refused = consumer.take_over(stream(), TakeOverOptions::default(), async || false).await.unwrap_err();
    assert!(
        matches!(&refused, RunError::TakeOver { stream: named, .. } if *named == stream()),
        "{refused:?}"
    );
    // Another one's takeover, before or after, is not disturbed.
    consumer.take_over(stream(), TakeOverOptions::default(), async || true).await.unwrap();
}

// The protocol stops what is not the same stream any more, for those with a loop of their own as well.
#[tokio::test(start_paused = true)]
async fn a_takeover_of_another_identity_or_an_earlier_position_is_refused_with_what_to_do() {
    let log = MemoryFailureLog::new();
    let consumer = consumer(&Scripted::calm(), log.clone());
    let at = |identity: &'static str, position| TakeOverOptions {
        identity: Some(identity.into()),
        position: Some(Index::new(position)),
    };
    let guard = consumer.take_over(stream(), at("one", 5), async || true).await.unwrap();
    guard.release(Some(Index::new(9))).await.unwrap();
    for wrong in [at("other", 10), at("one", 9)] {
        let refused = consumer.take_over(stream(), wrong, async || true).await.unwrap_err();
        assert!(refused.to_string().contains("replay"), "{refused}");
    }
    consumer.take_over(stream(), at("one", 10), async || true).await.unwrap();
}
