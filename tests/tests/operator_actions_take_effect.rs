//! What operators do while consumers run takes effect within seconds, from wherever they do it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{Headers, ParkCause, RetryPolicy, SqliteFailureLog, Timeouts};
use ordered_consumer_tests::{
    Act, Running, Scripted, World, eventually,
    operating::{Log, event, gate, until},
    world::{NAME, TOPIC, consumer, operator},
};

/// Two handles on one file, as two processes have them.
async fn two_handles() -> (tempfile::TempDir, Log, Log) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("failures.db");
    let open = async || SqliteFailureLog::open(&path).await.unwrap();
    let (ours, theirs) = (Arc::new(open().await), Arc::new(open().await));
    (directory, ours, theirs)
}

// The relay knows of nothing that is due before tomorrow, and looks all the same.
#[tokio::test]
async fn a_retry_made_through_another_handle_reaches_a_relay_that_waits_for_tomorrow() {
    let (_directory, ours, theirs) = two_handles().await;
    let open = Arc::new(AtomicBool::new(false));
    let handler = Scripted::new({
        let open = Arc::clone(&open);
        move |_, _| Act::succeed_if(open.load(Ordering::SeqCst))
    });
    let day =
        RetryPolicy::fixed(Duration::from_secs(86_400)).immediate(0).max_delay(Duration::from_secs(90_000));
    let consumer = Arc::new(consumer(&handler, Arc::clone(&ours)).with_retry_policy(day));
    consumer.process(event(1, "a1")).await.unwrap();
    let retries = Running::start_retries(consumer);
    let operator = operator(Arc::clone(&theirs));
    let seen = gate(&theirs).await;
    assert!(seen.gate.due_at.unwrap().since(seen.now) > Duration::from_secs(3_600));
    open.store(true, Ordering::SeqCst);
    operator.retry(&seen, "it is back").await.unwrap();
    eventually("it is handled", || retries.stats().resolved == 1).await;
    retries.stop().await;
    assert_eq!(handler.runs.began(), ["a1", "a1"]);
}

#[tokio::test]
async fn an_edit_made_through_another_handle_is_what_a_running_consumer_runs() {
    let (_directory, ours, theirs) = two_handles().await;
    let handler = Scripted::new(|text, _| if text == "a1" { Act::Permanent } else { Act::Succeed });
    let consumer = Arc::new(consumer(&handler, Arc::clone(&ours)));
    let retries = Running::start_retries(Arc::clone(&consumer));
    for (index, text) in [(1, "a1"), (2, "a2")] {
        consumer.process(event(index, text)).await.unwrap();
    }
    let operator = operator(Arc::clone(&theirs));
    operator.edit(&gate(&theirs).await, Some("mended".into()), Headers::default(), "why").await.unwrap();
    eventually("both are handled", || retries.stats().resolved == 2).await;
    retries.stop().await;
    assert_eq!(handler.runs.began(), ["a1", "mended", "a2"]);
}

// On an owned stream, whose clear entities cost no look into the log.
#[tokio::test]
async fn a_pause_made_through_another_handle_holds_what_comes_to_a_running_consumer() {
    let (_directory, ours, theirs) = two_handles().await;
    let world = World::with(&["a1"]);
    let handler = Scripted::calm();
    let timeouts = Timeouts { refresh: Duration::from_millis(10), ..Timeouts::default() };
    let running =
        Running::start(consumer(&handler, Arc::clone(&ours)).with_timeouts(timeouts), world.source());
    eventually("it is handled", || handler.runs.has("a1")).await;
    let operator = operator(Arc::clone(&theirs));
    operator.pause(&operator.look(&world.key("a")).await.unwrap(), "not now").await.unwrap();
    // Whatever comes before the refresh runs; from some event on they are held.
    let mut sent = 1;
    while running.stats().held == 0 {
        sent += 1;
        world.send(&[&format!("a{sent}")]);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let paused = until(&theirs, "it is held", |gate| gate.gate.held_events > 0).await;
    assert_eq!(paused.gate.parked, Some(ParkCause::Operator));
    operator.resume(&paused, "now").await.unwrap();
    eventually("all are handled", || handler.runs.succeeded().len() == sent).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), (1..=sent).map(|number| format!("a{number}")).collect::<Vec<_>>());
}

// An operator's pause of a clear entity is heard of on an owned stream, too: what comes afterwards is held.
#[tokio::test(start_paused = true)]
async fn an_entity_that_is_paused_while_it_is_clear_is_held_from_the_next_refresh_on() {
    let world = World::with(&["a1"]);
    let handler = Scripted::calm();
    let running = world.start(&handler);
    world.until_done(&handler.runs).await;
    let operator = world.operator();
    operator.pause(&operator.look(&world.key("a")).await.unwrap(), "not now").await.unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    world.send(&["a2", "a3", "b1"]);
    let paused = world.until("both are held", "a", |gate| gate.gate.held_events == 2).await;
    assert_eq!(paused.gate.parked, Some(ParkCause::Operator));
    assert_eq!(handler.runs.succeeded_of("a"), ["a1"]);
    operator.resume(&paused, "now").await.unwrap();
    world.until_done(&handler.runs).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2", "a3"]);
}

// However many others are parked or paused in the stream, and wherever the entity's key sorts among them.
#[tokio::test(start_paused = true)]
async fn a_pause_behind_thousands_of_parked_entities_is_noticed() {
    let world = World::with(&["z1"]);
    let handler = Scripted::new(|text, _| if text == "p" { Act::Permanent } else { Act::Succeed });
    for number in 0..2_500 {
        world.broker.publish(TOPIC, format!("p{number}"), "p").unwrap();
    }
    let running = world.start(&handler);
    eventually("all are parked", || running.stats().parked == 2_500 && handler.runs.has("z1")).await;
    let operator = world.operator();
    operator.pause(&operator.look(&world.key("z")).await.unwrap(), "not now").await.unwrap();
    // A few rounds of looking.
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.send(&["z2"]);
    eventually("it is settled", || world.broker.lag(NAME) == 0).await;
    assert_eq!((handler.runs.times("z2"), running.stats().held), (0, 1));
    running.stop().await;
}
