//! Scenarios 10 to 14: the same event comes again, or another one in its place.

use std::sync::Arc;

use ordered_consumer::{Event, Index, OrderedConsumer, Outcome, ParkCause, StreamName};
use ordered_consumer_tests::{
    Act, Latch, RunEnd, Running, Scripted, World, eventually,
    recorder::text_of,
    world::{NAME, consumer},
};

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").unwrap_or_else(|_| unreachable!("it is a name"));
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

// Scenario 10, without a failure: at least once, and no regress afterwards.
#[tokio::test(start_paused = true)]
async fn of_an_event_that_two_consumers_run_at_once_and_that_fails_twice_there_is_one_failure() {
    let (one, other) = (Latch::new(), Latch::new());
    let first = Scripted::new({
        let one = one.clone();
        move |text, attempt| {
            if text == "a1" && attempt == 1 { Act::wait_and_fail(&one) } else { Act::Succeed }
        }
    });
    let second = first.beside({
        let other = other.clone();
        move |text, attempt| {
            if text == "a1" && attempt == 1 { Act::wait_and_fail(&other) } else { Act::Succeed }
        }
    });
    let world = World::with(&[]);
    let (here, there) = (Arc::new(world.consumer(&first)), Arc::new(world.consumer(&second)));
    let run = |consumer: &Arc<OrderedConsumer<Scripted>>| {
        let consumer = Arc::clone(consumer);
        tokio::spawn(async move { consumer.process(event(1, "a1")).await })
    };
    let (here_run, there_run) = (run(&here), run(&there));
    eventually("both run it", || first.runs.times("a1") == 2).await;
    one.open();
    assert!(matches!(here_run.await.unwrap().unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(here.process(event(2, "a2")).await.unwrap(), Outcome::Held);
    other.open();
    assert_eq!(there_run.await.unwrap().unwrap(), Outcome::Duplicate, "the log has it already");
    let gate = world.gate("a").await.gate;
    assert_eq!((gate.attempts, gate.held_events), (1, 2));
    let retries = Running::start_retries(Arc::clone(&there));
    eventually("both are resolved", || there.stats().resolved == 2).await;
    retries.stop().await;
    assert_eq!(first.runs.succeeded(), ["a1", "a2"]);
}

// Scenario 10: one of the two succeeds after the other's failure was logged: the log's copy is run again, in its turn.
#[tokio::test(start_paused = true)]
async fn a_success_elsewhere_does_not_let_a_later_event_overtake_a_logged_failure() {
    let late = Latch::new();
    let first = Scripted::new(|text, attempt| Act::succeed_if(text != "a1" || attempt > 1));
    let second = first.beside({
        let late = late.clone();
        move |_, _| Act::wait(&late)
    });
    let world = World::with(&[]);
    let (here, there) = (world.consumer(&first), Arc::new(world.consumer(&second)));
    let running = {
        let there = Arc::clone(&there);
        tokio::spawn(async move { there.process(event(1, "a1")).await })
    };
    eventually("the other runs it", || first.runs.times("a1") == 1).await;
    assert!(matches!(here.process(event(1, "a1")).await.unwrap(), Outcome::RetryScheduled { .. }));
    late.open();
    assert_eq!(running.await.unwrap().unwrap(), Outcome::Handled);
    assert_eq!(there.process(event(2, "a2")).await.unwrap(), Outcome::Held);
}

// Scenario 11.
#[tokio::test(start_paused = true)]
async fn a_failed_event_that_comes_again_while_it_is_logged_is_done_with_and_not_held_behind_itself() {
    let world = World::with(&["a1", "a2"]);
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let running = world.start(&handler);
    world.until("both are logged", "a", |gate| gate.gate.held_events == 2).await;
    let runs = handler.runs.times("a1");
    world.broker.redeliver(NAME, &world.stream(0), Index::MIN).unwrap();
    eventually("both came again", || running.stats().duplicates == 2).await;
    eventually("and are done with", || world.broker.lag(NAME) == 0).await;
    assert_eq!(world.gate("a").await.gate.held_events, 2);
    // Only the schedule has it run again, not its coming again.
    assert_eq!(
        handler.runs.attempts("a1"),
        (1..=u32::try_from(handler.runs.times("a1")).unwrap()).collect::<Vec<_>>()
    );
    assert!(handler.runs.times("a1") >= runs);
    running.stop().await;
}

// Scenario 12.
#[tokio::test(start_paused = true)]
async fn a_held_event_that_comes_again_after_it_was_drained_is_a_duplicate() {
    let world = World::with(&["a1", "a2", "a3"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let running = world.start(&handler);
    eventually("all are resolved", || running.stats().resolved == 3).await;
    world.broker.redeliver(NAME, &world.stream(0), Index::new(1)).unwrap();
    eventually("they came again", || running.stats().duplicates == 2).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3"]);
}

// Scenario 12, in another process, whose cache knows only the tombstone.
#[tokio::test(start_paused = true)]
async fn a_drained_event_that_comes_again_to_the_next_owner_is_a_duplicate() {
    let world = World::with(&["a1", "a2", "a3"]);
    world.broker.lose_commits(NAME, true).unwrap();
    let handler = Scripted::failing(&[("a1", 1)]);
    let first = world.start(&handler);
    eventually("all are resolved", || first.stats().resolved == 3).await;
    first.stop().await;
    world.broker.lose_commits(NAME, false).unwrap();
    let second = world.start(&handler);
    eventually("they came again", || second.stats().duplicates == 3).await;
    world.send(&["a4"]);
    world.until_done(&handler.runs).await;
    second.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3", "a4"]);
}

// Scenario 13: an id is only a name; the index is what tells events apart.
#[tokio::test(start_paused = true)]
async fn two_events_with_the_same_id_and_different_payloads_are_both_handled() {
    let world = World::with(&[]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let consumer = Arc::new(world.consumer(&handler));
    let named = |index, text: &str| {
        let event = event(index, text);
        Event::builder(event.stream().clone(), event.index(), "a").id("same").payload(text_of(&event)).build()
    };
    assert!(matches!(consumer.process(named(1, "a1")).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(consumer.process(named(2, "a2")).await.unwrap(), Outcome::Held);
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("both are handled", || handler.runs.succeeded() == ["a1", "a2"]).await;
    retries.stop().await;
}

// Scenario 14.
#[tokio::test(start_paused = true)]
async fn another_event_at_a_logged_index_parks_the_entity_and_both_are_kept() {
    let world = World::with(&[]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let consumer = consumer(&handler, world.log.clone());
    assert!(matches!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::RetryScheduled { .. }));
    assert_eq!(
        consumer.process(event(1, "another")).await.unwrap(),
        Outcome::Parked(ParkCause::Conflict),
        "it is done with: the log has it"
    );
    assert_eq!(consumer.process(event(1, "another")).await.unwrap(), Outcome::Duplicate, "and has it once");
    assert_eq!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Duplicate);
    assert_eq!(consumer.process(event(2, "a2")).await.unwrap(), Outcome::Held);
    let parked = world.gate("a").await;
    assert_eq!((parked.gate.parked, parked.gate.conflicts), (Some(ParkCause::Conflict), 1));
    let text = world.operator().explain("a").await.unwrap();
    assert!(text.contains("another event"), "{text}");
    // An operator decides, and the entity goes on with what was logged first.
    world.operator().retry(&parked, "the first one is right").await.unwrap();
    let consumer = Arc::new(consumer);
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("it goes on", || handler.runs.succeeded() == ["a1", "a2"]).await;
    retries.stop().await;
}

// A redelivery without any failure is an in-order replay, as the broker promises, and its handler is told.
#[tokio::test(start_paused = true)]
async fn a_redelivery_without_a_failure_is_a_replay_in_order_and_its_handler_is_told() {
    let world = World::with(&["a1", "b1", "a2"]);
    let handler = Scripted::calm();
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    world.broker.redeliver(NAME, &world.stream(0), Index::MIN).unwrap();
    eventually("they came again", || handler.runs.runs().len() == 6).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2", "a1", "a2"]);
    assert!(
        handler.runs.runs()[3..].iter().all(|run| run.context.redelivered && run.end == RunEnd::Succeeded)
    );
}
