//! `process`, `process_batch` and the stream guard: for people with a consume loop of their own.

use std::sync::Arc;

use futures::future::join_all;
use ordered_consumer::{Delivery, Event, Index, Outcome, ProcessError, StreamName, TakeOverOptions};
use ordered_consumer_tests::{Act, Running, Scripted, World, eventually};

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("own").unwrap_or_else(|_| unreachable!("it is a name"));
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_for_one_entity_run_in_the_order_of_the_calls() {
    let world = World::with(&[]);
    let handler = Scripted::new(|text, _| Act::Yield(if text == "a1" { 20 } else { 1 }));
    let consumer = world.consumer(&handler);
    let calls = [(1, "a1"), (2, "a2"), (3, "b1"), (4, "a3")]
        .map(|(index, text)| consumer.process(event(index, text)));
    let done = join_all(calls).await;
    assert!(done.iter().all(|done| matches!(done, Ok(Outcome::Handled))), "{done:?}");
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2", "a3"]);
    assert_eq!(handler.runs.succeeded()[0], "b1", "the other entity does not wait");
}

#[tokio::test(start_paused = true)]
async fn in_a_batch_what_follows_a_failure_is_held_and_others_are_handled() {
    let world = World::with(&[]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let consumer = Arc::new(world.consumer(&handler));
    let batch = [(1, "a1"), (2, "b1"), (3, "a2"), (4, "b2")];
    let batch: Vec<Delivery> = batch.into_iter().map(|(index, text)| event(index, text).into()).collect();
    let done: Vec<Outcome> = consumer.process_batch(batch).await.into_iter().map(Result::unwrap).collect();
    assert!(matches!(done[0], Outcome::RetryScheduled { .. }), "{done:?}");
    assert_eq!(done[1..], [Outcome::Handled, Outcome::Held, Outcome::Handled]);
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("all are handled", || handler.runs.succeeded_of("a") == ["a1", "a2"]).await;
    retries.stop().await;
}

#[tokio::test(start_paused = true)]
async fn in_a_batch_what_follows_an_event_that_is_not_done_with_is_not_begun() {
    let world = World::with(&[]);
    let handler = Scripted::new(|text, _| if text == "a1" { Act::Unavailable } else { Act::Succeed });
    let batch: Vec<Delivery> = [(1, "a1"), (2, "a2")].map(|(index, text)| event(index, text).into()).into();
    let done = world.consumer(&handler).process_batch(batch).await;
    assert!(matches!(done[0], Err(ProcessError::Unavailable { .. })), "{done:?}");
    assert!(matches!(done[1], Err(ProcessError::EarlierNotDone { .. })), "{done:?}");
    assert_eq!(handler.runs.began(), ["a1"]);
}

#[tokio::test(start_paused = true)]
async fn a_guard_whose_stream_was_taken_over_is_refused_when_it_fails_and_ever_after() {
    let world = World::with(&[]);
    let handler = Scripted::failing(&[("a1", 9)]);
    let (old, new) = (world.consumer(&handler), world.consumer(&handler));
    let stream = event(1, "a1").stream().clone();
    let take = || (stream.clone(), TakeOverOptions::default());
    let (name, options) = take();
    let first = old.take_over(name, options, async || true).await.unwrap();
    let (name, options) = take();
    let second = new.take_over(name, options, async || true).await.unwrap();
    assert!(matches!(first.process(event(1, "a1")).await, Err(ProcessError::Fenced { .. })));
    assert!(matches!(first.process(event(2, "b1")).await, Err(ProcessError::Fenced { .. })));
    assert!(world.gates().await.is_empty());
    // The first owner did not let go, so the second looks at its first events with suspicion.
    assert_eq!(second.process(event(1, "a1")).await.unwrap(), Outcome::Suspect);
    assert_eq!(second.process(event(2, "a2")).await.unwrap(), Outcome::Held);
}
