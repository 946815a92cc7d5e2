//! What tests of operators share: one entity's events, its gate, and what an operator was told.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    Event, FailureLog, GateKey, GatedEntity, Index, OperatorError, OrderedConsumer, StreamName,
    gate::{OperatorRefusal, State},
};

use crate::{
    Act, Latch, Running, Scripted, eventually,
    world::{at_once, consumer, gates},
};

/// A failure log chosen at run time.
pub type Log = Arc<dyn FailureLog>;

/// An event of the entity that its text begins with.
///
/// # Panics
/// When the text is empty.
#[must_use]
#[expect(clippy::expect_used, reason = "the name can be used")]
pub fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").expect("a name");
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

/// Where such an entity's gate is.
#[must_use]
#[expect(clippy::expect_used, clippy::missing_panics_doc, reason = "the name can be used")]
pub fn key(entity: &'static str) -> GateKey {
    GateKey { stream: StreamName::new("orders/0").expect("a name"), entity: entity.into() }
}

/// A consumer that retries after a millisecond.
#[must_use]
pub fn quick(handler: &Scripted, log: &Log) -> Arc<OrderedConsumer<Scripted>> {
    Arc::new(consumer(handler, Arc::clone(log)).with_retry_policy(at_once()))
}

/// The only gate there is.
///
/// # Panics
/// When there is none, or another.
pub async fn gate(log: &Log) -> GatedEntity {
    let mut gates = gates(log).await;
    assert_eq!(gates.len(), 1);
    gates.remove(0)
}

/// Waits until a gate is so.
///
/// # Panics
/// When it does not come to be so.
#[expect(clippy::panic, reason = "a test that waits in vain has failed")]
pub async fn until(log: &Log, what: &str, so: impl Fn(&GatedEntity) -> bool) -> GatedEntity {
    for _ in 0..6_000 {
        if let Some(gate) = gates(log).await.into_iter().find(&so) {
            return gate;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited in vain until {what}");
}

/// Why an action was refused, which it must have been.
///
/// # Panics
/// When it was not.
#[expect(clippy::panic, reason = "an action that should have been refused fails its test")]
pub fn refusal(outcome: Result<(), OperatorError>) -> OperatorRefusal {
    match outcome {
        Err(OperatorError::Refused(refusal)) => refusal,
        other => panic!("it should have been refused: {other:?}"),
    }
}

/// `a1` has failed once and runs again until the latch is opened; `a2` waits behind it.
///
/// # Panics
/// When it does not come to that.
#[expect(clippy::expect_used, reason = "a log without faults takes events")]
pub async fn running_head(
    log: &Log,
    second: fn(&Latch) -> Act,
) -> (Latch, Scripted, Running<Scripted>, GatedEntity) {
    let latch = Latch::new();
    let handler = Scripted::new({
        let latch = latch.clone();
        move |text, attempt| match (text, attempt) {
            ("a1", 1) => Act::Fail("not yet"),
            ("a1", 2) => second(&latch),
            _ => Act::Succeed,
        }
    });
    let consumer = quick(&handler, log);
    for (index, text) in [(1, "a1"), (2, "a2")] {
        consumer.process(event(index, text)).await.expect("it is logged");
    }
    let retries = Running::start_retries(consumer);
    let seen = until(log, "it runs", |gate| gate.gate.state() == State::Running).await;
    eventually("its handler runs", || handler.runs.times("a1") == 2).await;
    (latch, handler, retries, seen)
}
