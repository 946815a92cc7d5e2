//! One sentence says what is the matter with an entity.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use ordered_consumer::{Index, Outcome};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, eventually, on_both_logs,
    operating::{Log, event, key, until},
    world::{consumer, operator, seconds},
};

on_both_logs!(explain_says_what_is_the_matter_in_each_state);

async fn explain_says_what_is_the_matter_in_each_state(log: Log) {
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |_, attempt| if attempt == 2 { Act::wait_and_fail(&latch) } else { Act::Fail("card declined") }
    });
    let waiting = Arc::new(consumer(&handler, Arc::clone(&log)).with_retry_policy(seconds().attempts_max(2)));
    let operator = operator(Arc::clone(&log));
    let says = async |part: &str| {
        let text = operator.explain("a").await.unwrap();
        assert!(text.starts_with("Consumer billing: ") && text.contains(part), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    };
    says("nothing is held for the entity; its events flow").await;
    waiting.process(event(1, "a1")).await.unwrap();
    says("event 1 of stream orders/0 failed (1 attempt; the last failure: card declined) and is tried again")
        .await;
    says("no later event waits").await;
    for index in 2..=3 {
        waiting.process(event(index, "a")).await.unwrap();
    }
    says("2 later events wait behind it").await;
    let retries = Running::start_retries(Arc::clone(&waiting));
    eventually("it runs", || handler.runs.times("a1") == 2).await;
    says("runs at this moment").await;
    latch.open();
    let parked = until(&log, "it is parked", |gate| gate.gate.parked.is_some()).await;
    says("(2 attempts; the last failure: as the test says, after a while)").await;
    says("is parked, because its attempts or its time are used up").await;
    retries.stop().await;
    operator.discard_through(&parked, Index::new(3), "away").await.unwrap();
    says("its events flow").await;
    operator.pause(&operator.look(&key("a")).await.unwrap(), "not now").await.unwrap();
    says("an operator paused the entity on stream orders/0; what comes is held").await;
    assert_eq!(waiting.process(event(4, "a4")).await.unwrap(), Outcome::Held);
    says("event 4 of stream orders/0 waits for its turn and is parked, because an operator parked it").await;
}
