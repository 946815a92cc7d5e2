//! Scenario 42, and more of what only shared streams have.

use std::time::Duration;

use ordered_consumer::{
    EventSource,
    in_memory_broker::QueueOptions,
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{Act, RunEnd, Running, Scripted, World, eventually, world::consumer};

// Scenario 42: the handler is dropped before somebody else may get the event; the next receive is suspect.
#[tokio::test(start_paused = true)]
async fn a_handler_whose_visibility_runs_out_is_dropped_and_nothing_of_its_group_overtakes() {
    let world = World::with(&[]);
    world.broker.create_queue("jobs", QueueOptions::default()).unwrap();
    for text in ["a1", "a2", "a3", "b1"] {
        world.broker.publish("jobs", text[..1].to_owned(), text).unwrap();
    }
    let first_run = std::sync::atomic::AtomicBool::new(true);
    let handler = Scripted::new(move |text, _| {
        let first = text == "a1" && first_run.swap(false, std::sync::atomic::Ordering::SeqCst);
        if first { Act::Sleep(Duration::from_secs(50)) } else { Act::Succeed }
    });
    let running = Running::start(world.consumer(&handler), world.broker.subscribe_queue("jobs").unwrap());
    eventually("the queue is empty", || world.broker.kept("jobs") == 0).await;
    eventually("all are handled", || handler.runs.succeeded().len() == 4).await;
    running.stop().await;
    assert_eq!(handler.runs.ended("a1", RunEnd::Dropped), 1);
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2", "a3"]);
}

// The first event of the receive was received before, and is logged before it runs; the answer of that write is lost, and
// asked for again it says "duplicate", because the event is logged by then. What comes behind it in the same receive was
// looked up before, when the entity was clear: it must not go by that any more.
#[tokio::test(start_paused = true)]
async fn after_a_duplicate_answer_the_later_events_of_the_same_receive_ask_again() {
    let world = World::with(&[]);
    world.broker.create_queue("jobs", QueueOptions::default()).unwrap();
    let publish = |text: &'static str| world.broker.publish("jobs", text[..1].to_owned(), text).unwrap();
    publish("a1");
    let mut crashed = world.broker.subscribe_queue("jobs").unwrap();
    while world.broker.in_flight("jobs") == 0 {
        drop(crashed.next().await.unwrap());
    }
    drop(crashed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    publish("a2");
    publish("a3");
    let log = FaultyFailureLog::new(world.log.clone());
    log.script([None]);
    log.fail_next(6, LogFault::UnknownWritten);
    let handler = Scripted::calm();
    let consumer = consumer(&handler, log);
    let running = Running::start(consumer, world.broker.subscribe_queue("jobs").unwrap());
    eventually("all are handled", || handler.runs.succeeded().len() >= 3).await;
    eventually("the queue is empty", || world.broker.kept("jobs") == 0).await;
    let stats = running.stats();
    running.stop().await;
    assert_eq!(
        (stats.duplicates, stats.suspects),
        (1, 0),
        "the answer that came in the end is a duplicate's: {stats:?}"
    );
    assert_eq!(handler.runs.began(), ["a1", "a2", "a3"]);
}
