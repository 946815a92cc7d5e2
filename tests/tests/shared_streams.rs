//! Scenario 42, and more of what only shared streams have.

use std::time::Duration;

use ordered_consumer::in_memory_broker::QueueOptions;
use ordered_consumer_tests::{Act, RunEnd, Running, Scripted, World, eventually};

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
