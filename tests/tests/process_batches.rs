//! `process_batch`: one look-up for everything received together, and the order within a batch and around it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use ordered_consumer::{
    Delivery, Event, Index, MemoryFailureLog, OrderedConsumer, Outcome, ProcessError, StreamName,
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{Act, Latch, Scripted, World, eventually, world::consumer};

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").unwrap();
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

fn batch(events: &[(u128, &str)]) -> Vec<Delivery> {
    events.iter().map(|(index, text)| Delivery::from(event(*index, text))).collect()
}

type Calls = tokio::task::JoinHandle<Result<Outcome, ProcessError>>;

/// Calls `process` in a task, and lets it come as far as it can.
async fn call(consumer: &Arc<OrderedConsumer<Scripted>>, event: Event) -> Calls {
    let consumer = Arc::clone(consumer);
    let call = tokio::spawn(async move { consumer.process(event).await });
    for _ in 0..16 {
        tokio::task::yield_now().await;
    }
    call
}

#[tokio::test(start_paused = true)]
async fn a_batch_costs_one_look_up_for_entities_that_are_clear() {
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let handler = Scripted::calm();
    let consumer = consumer(&handler, log.clone());
    let events: Vec<_> = (0..50).map(|index| event(index, &format!("{}{index}", index % 7))).collect();
    let outcomes = consumer.process_batch(events.into_iter().map(Delivery::from).collect()).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(Outcome::Handled))), "{outcomes:?}");
    let calls = log.calls();
    assert_eq!((calls.which_gated, calls.total()), (1, 1));
    for entity in 0..7 {
        let expected: Vec<String> =
            (0..50).filter(|index| index % 7 == entity).map(|index| format!("{entity}{index}")).collect();
        assert_eq!(handler.runs.succeeded_of(&entity.to_string()), expected);
    }
}

// More entities than tokio lets a task take locks at a time.
#[tokio::test(start_paused = true)]
async fn a_batch_of_many_entities_costs_one_look_up_too() {
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let consumer = consumer(&Scripted::calm(), log.clone());
    let stream = StreamName::new("orders/0").unwrap();
    let events = (0..500).map(|index| Event::builder(stream.clone(), Index::new(index), format!("e{index}")));
    let outcomes = consumer.process_batch(events.map(|event| event.build().into()).collect()).await;
    assert!(outcomes.len() == 500 && outcomes.iter().all(Result::is_ok));
    assert_eq!(log.calls().total(), 1);
}

#[tokio::test(start_paused = true)]
async fn in_a_batch_what_follows_a_failure_is_held_and_what_follows_an_error_is_not_begun() {
    let world = World::with(&[]);
    let handler = Scripted::new(|text, _| match text {
        "a1" => Act::Fail("not yet"),
        "u2" => Act::Unavailable,
        _ => Act::Succeed,
    });
    let consumer = world.consumer(&handler);
    let events = [(1, "a1"), (2, "u1"), (3, "a2"), (4, "u2"), (5, "u3"), (6, "c1"), (7, "u4"), (8, "a3")];
    let outcomes = consumer.process_batch(batch(&events)).await;
    let told: Vec<&str> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(outcome) => outcome.as_str(),
            Err(ProcessError::Unavailable { .. }) => "unavailable",
            Err(ProcessError::EarlierNotDone { earlier, .. }) if earlier.index == Index::new(4) => "after 4",
            Err(other) => panic!("{other:?}"),
        })
        .collect();
    let expected =
        ["retry_scheduled", "handled", "held", "unavailable", "after 4", "handled", "after 4", "held"];
    assert_eq!(told, expected);
    assert_eq!((handler.runs.times("u3"), handler.runs.times("a2")), (0, 0));
    assert!(consumer.process_batch(Vec::new()).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_taken_does_not_spoil_the_rest_of_its_batch() {
    let world = World::with(&[]);
    let handler = Scripted::calm();
    let mut events = batch(&[(1, "a1"), (3, "b1")]);
    events.insert(1, Event::builder(world.stream(0), Index::new(2), "").build().into());
    events.push(Event::builder(world.stream(0), Index::new(4), vec![0; 1_025]).build().into());
    let outcomes = world.consumer(&handler).process_batch(events).await;
    assert!(matches!(outcomes[0], Ok(Outcome::Handled)) && matches!(outcomes[2], Ok(Outcome::Handled)));
    assert!(matches!(outcomes[1], Err(ProcessError::BadEvent { .. })), "{outcomes:?}");
    assert!(matches!(outcomes[3], Err(ProcessError::BadEvent { .. })), "{outcomes:?}");
}

// What was looked up while an earlier event ran is not so any more once that one has failed.
#[tokio::test(start_paused = true)]
async fn a_batch_looked_up_while_an_earlier_event_runs_does_not_overtake_it_when_it_fails() {
    let world = World::with(&[]);
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, _| if text == "a1" { Act::wait_and_fail(&latch) } else { Act::Succeed }
    });
    let consumer = Arc::new(world.consumer(&handler));
    let first = call(&consumer, event(1, "a1")).await;
    let second = {
        let consumer = Arc::clone(&consumer);
        tokio::spawn(async move { consumer.process_batch(batch(&[(2, "a2"), (3, "b1")])).await })
    };
    eventually("the other entity is handled", || handler.runs.has("b1")).await;
    latch.open();
    assert!(matches!(first.await.unwrap().unwrap(), Outcome::RetryScheduled { .. }));
    assert!(matches!(second.await.unwrap()[0], Ok(Outcome::Held)));
    assert_eq!(handler.runs.times("a2"), 0);
}

// The batch is in line from its first poll, however long its look-up takes, and with all of its events.
#[tokio::test(start_paused = true)]
async fn a_call_made_after_a_batch_comes_after_all_of_it() {
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, _| if text == "a1" { Act::wait(&latch) } else { Act::Succeed }
    });
    let consumer = Arc::new(consumer(&handler, log.clone()));
    log.fail_next(1, LogFault::StallsUnwritten);
    let first = {
        let consumer = Arc::clone(&consumer);
        tokio::spawn(async move { consumer.process_batch(batch(&[(1, "a1"), (2, "a2")])).await })
    };
    log.until_stalled(1).await;
    let last = call(&consumer, event(3, "a3")).await;
    log.unstall();
    eventually("the first runs", || handler.runs.times("a1") == 1).await;
    latch.open();
    assert_eq!(last.await.unwrap().unwrap(), Outcome::Handled);
    assert!(first.await.unwrap().iter().all(Result::is_ok));
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3"]);
}
