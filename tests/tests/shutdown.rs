//! Scenario 43: shutting down in the middle of things.

use std::time::Duration;

use ordered_consumer::Timeouts;
use ordered_consumer_tests::{Act, Latch, RunEnd, Running, Scripted, World, eventually};

// Scenario 43, mid-handler: what ends in time counts, and what does not is delivered again.
#[tokio::test(start_paused = true)]
async fn a_shutdown_lets_handlers_end_within_the_deadline_and_drops_the_others() {
    let world = World::with(&["a1", "b1", "a2"]);
    let handler = Scripted::new(|text, _| match text {
        "a1" => Act::Sleep(Duration::from_secs(2)),
        "b1" => Act::Never,
        _ => Act::Succeed,
    });
    let timeouts = Timeouts { drain: Duration::from_secs(5), ..Timeouts::default() };
    let running = Running::start(world.consumer(&handler).with_timeouts(timeouts), world.source());
    eventually("both run", || handler.runs.runs().len() == 2).await;
    let began = tokio::time::Instant::now();
    running.stop().await;
    assert!(began.elapsed() <= Duration::from_secs(16), "{:?}", began.elapsed());
    assert_eq!(
        (handler.runs.ended("a1", RunEnd::Succeeded), handler.runs.ended("b1", RunEnd::Dropped)),
        (1, 1)
    );
    assert_eq!(handler.runs.times("a2"), 0, "nothing new begins");
    let again = world.start(&handler.beside(|_, _| Act::Succeed));
    world.until_done(&handler.runs).await;
    again.stop().await;
    world.assert_order(&handler.runs);
}

// Scenario 43, mid-drain: the run is broken off, its attempt does not count, and the rest stays held in order.
#[tokio::test(start_paused = true)]
async fn a_shutdown_in_the_middle_of_a_drain_gives_the_claim_back_and_keeps_the_rest() {
    let world = World::with(&["a1", "a2", "a3", "a4"]);
    let latch = Latch::new();
    let handler = Scripted::new(move |text, attempt| match (text, attempt) {
        ("a1", 1) => Act::Fail("once"),
        ("a3", _) => Act::wait(&latch),
        _ => Act::Succeed,
    });
    let running = world.start(&handler);
    eventually("it is in the middle", || handler.runs.times("a3") == 1).await;
    running.stop().await;
    let gate = world.gate("a").await.gate;
    assert_eq!((gate.claim, gate.attempts, gate.held_events, gate.run_was_lost), (None, 0, 2, false));
    let again = world.start(&handler.beside(|_, _| Act::Succeed));
    world.until_done(&handler.runs).await;
    again.stop().await;
    world.assert_order(&handler.runs);
    assert_eq!(handler.runs.succeeded(), ["a1", "a2", "a3", "a4"]);
}
