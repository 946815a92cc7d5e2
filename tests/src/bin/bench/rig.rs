//! What benchmarks are built from: runtimes, filled topics, handlers, timed runs.

use std::sync::PoisonError;

use anyhow::Context as _;
use ordered_consumer::{
    Event, GateKey, Handler, HandlerError, Index, OrderedConsumer, StreamName,
    in_memory_broker::{InMemoryBroker, TopicOptions},
};
use tokio::runtime::Runtime;

use crate::timed_source::{Slot, Timed, TimedSource};

/// Every benchmark's topic, of one partition.
pub(crate) const TOPIC: &str = "events";
/// What the broker hands over at once, unless told otherwise; the first batch warms up.
pub(crate) const BATCH: usize = 500;
/// Bytes of an event's payload.
const PAYLOAD: [u8; 200] = [b'x'; 200];

/// How long a run may take before something is wrong.
#[cfg(feature = "services")]
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(180);

/// A runtime as users have it: one thread per core.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Runs a future in a task of its own, so that it runs on the runtime's own threads; it must end in time.
#[cfg(feature = "services")]
pub(crate) fn in_time<T: Send + 'static>(
    runtime: &Runtime,
    running: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    // The timer must be made within the runtime, too.
    let task = runtime.spawn(async { tokio::time::timeout(PATIENCE, running).await });
    runtime.block_on(task)?.context("it takes too long")?
}

/// The name of the topic's one stream.
pub(crate) fn stream() -> anyhow::Result<StreamName> {
    Ok(StreamName::new(format!("{TOPIC}/0"))?)
}

pub(crate) fn entity(kind: &str, number: usize) -> String {
    format!("{kind}-{number:08}")
}

pub(crate) fn key(entity: String) -> anyhow::Result<GateKey> {
    Ok(GateKey { stream: stream()?, entity: entity.into() })
}

/// An event as the broker would deliver it.
pub(crate) fn event(entity: String, index: u128) -> anyhow::Result<Event> {
    Ok(Event::builder(stream()?, Index::new(index), entity).payload(PAYLOAD.as_slice()).build())
}

/// A broker whose topic begins at this index and has a warm-up batch and so many events after it, of entities in turn.
pub(crate) fn filled(
    first_index: u128,
    events: usize,
    entities: usize,
    kind: &str,
) -> anyhow::Result<InMemoryBroker> {
    let broker = InMemoryBroker::new();
    let retained_max = events + BATCH;
    broker.create_topic_with(
        TOPIC,
        TopicOptions { partitions: 1, first_index, retained_max, drop_settled: false },
    )?;
    for number in 0..events + BATCH {
        broker.publish(TOPIC, entity(kind, number % entities), PAYLOAD.as_slice())?;
    }
    Ok(broker)
}

/// A member of a group of its own, so that every round reads the topic from its start.
pub(crate) fn subscribe(
    broker: &InMemoryBroker,
    group: &str,
    last: u128,
) -> anyhow::Result<(TimedSource, Slot)> {
    let source = broker.subscribe(group, &[TOPIC])?.end_when_drained();
    Ok(TimedSource::new(source, Index::new(last)))
}

/// A handler that does nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nothing;

impl Handler for Nothing {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        // What a handler is given, it drops: in every arm the same.
        std::hint::black_box(&event);
        Ok(())
    }
}

/// Runs a consumer until its source has ended, and takes the time.
pub(crate) fn run<H: Handler>(
    runtime: &Runtime,
    consumer: OrderedConsumer<H>,
    source: TimedSource,
    slot: &Slot,
) -> anyhow::Result<Timed> {
    // In a task of its own, so that everything runs on the runtime's own threads.
    let ran = runtime.spawn(async move { consumer.run(source).await });
    runtime.block_on(ran)??;
    taken(slot)
}

/// What the source has measured.
pub(crate) fn taken(slot: &Slot) -> anyhow::Result<Timed> {
    let timed = *slot.lock().unwrap_or_else(PoisonError::into_inner);
    timed.context("the last event was never settled")
}
