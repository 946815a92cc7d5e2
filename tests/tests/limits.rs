//! Over a limit, streams wait and say so, and go on by themselves; nothing is dropped, and nothing else is slower.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use ordered_consumer::{
    Event, EventPublisher, FailureLog, Handler, HandlerError, Index, LimitReached, Limits, OrderedConsumer,
    OutagePolicy, Outcome, ProcessError, ReleasedEvent, RetryPolicy, StreamName,
    in_memory_broker::{GroupOptions, NewEvent},
};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, World,
    counting_source::CountingSource,
    eventually, on_both_logs,
    world::{NAME, TOPIC, at_once, consumer, gates, operator},
};

on_both_logs!(
    events_held_for_an_entity_are_limited_exactly,
    bytes_held_for_an_entity_are_limited_exactly,
    a_failure_is_logged_whatever_the_limit_says,
);

fn event(index: u128, text: &str) -> Event {
    let stream = StreamName::new("orders/0").unwrap();
    Event::builder(stream, Index::new(index), text[..1].to_owned()).payload(text.to_owned()).build()
}

/// A policy under which nothing is retried before somebody says so.
fn much_later() -> RetryPolicy {
    RetryPolicy::fixed(Duration::from_secs(30 * 24 * 3_600)).immediate(0).jitter(0.0)
}

async fn is_full(consumer: &OrderedConsumer<Scripted>, event: Event) {
    let error = consumer.process(event.clone()).await.unwrap_err();
    assert!(
        matches!(&error, ProcessError::Full { limit: LimitReached::Entity, .. }) && error.is_transient(),
        "{error:?}"
    );
    assert!(error.to_string().contains(&event.to_string()), "{error}");
}

async fn events_held_for_an_entity_are_limited_exactly(log: Arc<dyn FailureLog>) {
    let handler = Scripted::failing(&[("a1", 1)]);
    let limits = Limits { held_events_max: 3, ..Limits::default() };
    let consumer =
        consumer(&handler, Arc::clone(&log)).with_limits(limits).with_retry_policy(RetryPolicy::none());
    assert!(matches!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::Parked(_)));
    for index in 2..=3 {
        assert_eq!(consumer.process(event(index, "a")).await.unwrap(), Outcome::Held);
    }
    is_full(&consumer, event(4, "a4")).await;
    is_full(&consumer, event(4, "a4")).await;
    assert_eq!(
        consumer.process(event(3, "a")).await.unwrap(),
        Outcome::Duplicate,
        "what is held is done with"
    );
    assert_eq!(consumer.process(event(4, "b1")).await.unwrap(), Outcome::Handled, "others are not limited");
    let full = gates(&log).await.remove(0);
    assert_eq!(full.gate.held_events, 3, "exactly");
    operator(Arc::clone(&log)).skip(&full, "make room").await.unwrap();
    assert_eq!(consumer.process(event(4, "a4")).await.unwrap(), Outcome::Held, "the same call, later");
    is_full(&consumer, event(5, "a5")).await;
}

async fn bytes_held_for_an_entity_are_limited_exactly(log: Arc<dyn FailureLog>) {
    let handler = Scripted::failing(&[("a1", 1)]);
    let size = |text: &str| event(1, text).size() as u64;
    let limits = Limits { held_bytes_max: size("a1") + size("a-twenty-two-bytes----"), ..Limits::default() };
    let consumer =
        consumer(&handler, Arc::clone(&log)).with_limits(limits).with_retry_policy(RetryPolicy::none());
    consumer.process(event(1, "a1")).await.unwrap();
    is_full(&consumer, event(2, "a-twenty-three-bytes---")).await;
    assert_eq!(consumer.process(event(2, "a-twenty-two-bytes----")).await.unwrap(), Outcome::Held);
    is_full(&consumer, Event::builder(event(3, "a").stream().clone(), Index::new(3), "a").build()).await;
    let full = gates(&log).await.remove(0).gate;
    assert_eq!((full.held_events, full.held_bytes), (2, size("a1") + size("a-twenty-two-bytes----")));
}

async fn a_failure_is_logged_whatever_the_limit_says(log: Arc<dyn FailureLog>) {
    let handler = Scripted::failing(&[("a1", 1), ("a2", 1)]);
    let limits = Limits { held_events_max: 0, held_bytes_max: 0, ..Limits::default() };
    let consumer =
        Arc::new(consumer(&handler, Arc::clone(&log)).with_limits(limits).with_retry_policy(at_once()));
    assert!(matches!(consumer.process(event(1, "a1")).await.unwrap(), Outcome::RetryScheduled { .. }));
    is_full(&consumer, event(2, "a2")).await;
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("the way back is not limited", || handler.runs.has("a1")).await;
    eventually("and recorded", || consumer.stats().resolved == 1).await;
    retries.stop().await;
    assert!(matches!(consumer.process(event(2, "a2")).await.unwrap(), Outcome::RetryScheduled { .. }));
}

// A stream in which an entity is full takes in no more, says so once, and goes on by itself.
#[tokio::test(start_paused = true)]
async fn a_stream_whose_entity_is_full_waits_says_so_once_and_goes_on_by_itself() {
    let world = World::with(&["a1", "a2", "a3", "b1", "a4", "a5"]);
    world.broker.create_group(NAME, GroupOptions { batch_max: 1, ..GroupOptions::default() });
    let mended = Latch::new();
    let handler = Scripted::new({
        let mended = mended.clone();
        move |text, _| Act::succeed_if(text != "a1" || mended.is_open())
    });
    let limits = Limits { held_events_max: 2, workers: 2, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("it waits", || running.stats().limited == 1).await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(running.stats().limited, 1, "it is said once, however long it lasts");
    assert_eq!(world.gate("a").await.gate.held_events, 2);
    assert!(running.stopped_streams().is_empty(), "nobody need act");
    let before = handler.runs.succeeded();
    world.send(&["c1"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((handler.runs.succeeded(), handler.runs.times("c1")), (before, 0), "it takes in no more");
    mended.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
    world.assert_order(&handler.runs);
    assert_eq!(handler.runs.succeeded_of("a"), ["a1", "a2", "a3", "a4", "a5"]);
}

// Another stream of the same consumer does not wait with it.
#[tokio::test(start_paused = true)]
async fn a_full_entity_does_not_keep_other_streams_waiting() {
    let world = World::with_partitions(2);
    let send = |partition, entity: &'static str, text: &'static str| {
        world.broker.publish_to(TOPIC, partition, NewEvent::new(entity, text)).unwrap();
    };
    for text in ["a1", "a2", "a3"] {
        send(0, "a", text);
    }
    let handler = Scripted::new(|text, _| Act::succeed_if(text != "a1"));
    let limits = Limits { held_events_max: 1, running_max: 1, workers: 1, ..Limits::default() };
    let running = Running::start(
        world.consumer(&handler).with_limits(limits).with_retry_policy(much_later()),
        world.source(),
    );
    eventually("it waits", || running.stats().limited == 1).await;
    send(1, "b", "b1");
    eventually("the other stream goes on", || handler.runs.has("b1")).await;
    running.stop().await;
    assert_eq!(world.broker.lag(NAME), 2, "what waits is not settled");
}

#[tokio::test(start_paused = true)]
async fn over_the_limit_in_all_every_stream_waits_until_enough_is_resolved() {
    let world = World::with(&["a1", "b1", "c1", "d1"]);
    let mended = Latch::new();
    let handler = Scripted::new({
        let mended = mended.clone();
        move |text, _| Act::succeed_if(text.starts_with('z') || mended.is_open())
    });
    let limits = Limits { held_events_total_max: 3, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    eventually("all are logged", || running.stats().retry_scheduled == 4).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let limited = running.stats().limited;
    assert_eq!(limited, 1, "it is said once");
    world.send(&["z1"]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(handler.runs.times("z1"), 0, "it takes in no more");
    mended.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn no_more_than_uncommitted_max_events_are_begun_past_the_first_that_is_not_done() {
    for workers in [1, 3] {
        let world = World::with(&["a1"]);
        for number in 0..40 {
            world.send_to(&format!("e{number}"), &format!("e{number}"));
        }
        let first = Latch::new();
        let handler = Scripted::new({
            let first = first.clone();
            move |text, _| if text == "a1" { Act::wait(&first) } else { Act::Succeed }
        });
        let limits = Limits { uncommitted_max: 10, workers, ..Limits::default() };
        let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
        eventually("it has come so far", || handler.runs.runs().len() == 10).await;
        // Less than a handler may take.
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(handler.runs.runs().len(), 10, "with {workers} workers");
        first.open();
        world.until_done(&handler.runs).await;
        running.stop().await;
    }
}

/// How many events the broker has handed over while nothing of them is done.
async fn taken_from_the_source(limits: Limits, batch_max: usize, payload: &str) -> (usize, World) {
    let world = World::with(&[]);
    world.broker.create_group(NAME, GroupOptions { batch_max, ..GroupOptions::default() });
    for number in 0..200 {
        world.broker.publish(TOPIC, format!("e{number}"), payload.to_owned()).unwrap();
    }
    let source = world.source();
    let taken = Arc::new(AtomicUsize::new(0));
    let counting = CountingSource { source, taken: Arc::clone(&taken), copies: Arc::default() };
    let handler = Scripted::new(|_, _| Act::Never);
    let running = Running::start(world.consumer(&handler).with_limits(limits), counting);
    tokio::time::sleep(Duration::from_secs(30)).await;
    running.crash().await;
    (taken.load(Ordering::SeqCst), world)
}

// What is asked for before the limit is reached may still come: one batch.
#[tokio::test(start_paused = true)]
async fn no_more_than_may_be_buffered_and_one_batch_is_taken_from_the_source() {
    let limits = || Limits { running_max: 1, workers: 1, ..Limits::default() };
    let few = Limits { buffered_events_max: 20, ..limits() };
    let (taken, _) = taken_from_the_source(few, 5, "text").await;
    assert!((20..=25).contains(&taken), "{taken} events");
    let kilobyte = "x".repeat(1_000);
    let small = Limits { buffered_bytes_max: 20_000, ..limits() };
    let (taken, _) = taken_from_the_source(small, 5, &kilobyte).await;
    assert!((15..=25).contains(&taken), "{taken} events");
}

// A limit of the relay's own; what is under way when it is reached may still come: one batch.
#[tokio::test(start_paused = true)]
async fn no_more_than_ten_thousand_copies_wait_and_the_others_come_when_there_is_room() {
    let world = World::with(&["a1"]);
    let goes_on = Latch::new();
    let handler = Scripted::new({
        let goes_on = goes_on.clone();
        move |_, attempt| if attempt == 1 { Act::Fail("once") } else { Act::wait(&goes_on) }
    });
    let source = world.source().with_retry();
    let copies = Arc::new(AtomicUsize::new(0));
    let publisher = source.retry_publisher();
    let counting = CountingSource { source, taken: Arc::default(), copies: Arc::clone(&copies) };
    let limits = Limits { retries_running_max: 1, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), counting);
    eventually("the only retry that may run waits", || handler.runs.times("a1") == 2).await;
    // Nothing in the log waits for them: each is refused once there is room.
    let copy = |index| ReleasedEvent { event: event(index, "b"), attempts: 1 };
    let all: Vec<ReleasedEvent> = (0..25_000).map(copy).collect();
    assert_eq!(publisher.publish(&all).await.count, all.len());
    tokio::time::sleep(Duration::from_secs(20)).await;
    let waiting = copies.load(Ordering::SeqCst);
    assert!((10_000..11_000).contains(&waiting), "{waiting} copies wait");
    goes_on.open();
    eventually("every copy is done with", || world.broker.copies_left(NAME) == 0).await;
    assert_eq!(copies.load(Ordering::SeqCst), all.len(), "each came once");
    running.stop().await;
    world.assert_order(&handler.runs);
}

#[tokio::test(start_paused = true)]
async fn an_event_larger_than_the_whole_buffer_is_handled_all_the_same() {
    let world = World::with(&["a1"]);
    world.send_to("a", &"x".repeat(1_000));
    world.send(&["a2"]);
    let handler = Scripted::calm();
    let limits = Limits { buffered_bytes_max: 10, ..Limits::default() };
    let running = Running::start(world.consumer(&handler).with_limits(limits), world.source());
    world.until_done(&handler.runs).await;
    running.stop().await;
}

/// Counts how many runs there are at a time, of main events and of retries.
#[derive(Clone, Default)]
struct Gauge {
    first: Arc<[AtomicUsize; 2]>,
    again: Arc<[AtomicUsize; 2]>,
}

struct Counted(Arc<[AtomicUsize; 2]>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0[0].fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gauge {
    fn peaks(&self) -> (usize, usize) {
        (self.first[1].load(Ordering::SeqCst), self.again[1].load(Ordering::SeqCst))
    }
}

impl Handler for Gauge {
    async fn handle(&self, event: Event) -> Result<(), HandlerError> {
        let again = event.context().attempt > 1;
        let gauge = if again { &self.again } else { &self.first };
        let now = gauge[0].fetch_add(1, Ordering::SeqCst) + 1;
        gauge[1].fetch_max(now, Ordering::SeqCst);
        let _counted = Counted(Arc::clone(gauge));
        tokio::time::sleep(Duration::from_millis(20)).await;
        if again { Ok(()) } else { Err("the first time".into()) }
    }
}

#[tokio::test(start_paused = true)]
async fn never_more_handlers_and_retries_run_than_may_with_any_number_of_workers() {
    for (workers, running_max) in [(1, 5), (2, 5), (4, 5), (8, 3), (3, 1)] {
        let world = World::with_partitions(3);
        for number in 0..120 {
            world.send_to(&format!("e{number}"), &format!("e{number}"));
        }
        let gauge = Gauge::default();
        let limits = Limits { workers, running_max, retries_running_max: 4, ..Limits::default() };
        let consumer = OrderedConsumer::new(NAME, gauge.clone(), world.log.clone())
            .with_retry_policy(RetryPolicy::fixed(Duration::from_millis(1)).immediate(0))
            // Every event fails at first, which is what an outage looks like.
            .with_outage_policy(OutagePolicy::off())
            .with_limits(limits);
        let running = Running::start(consumer, world.source());
        eventually("all are resolved", || running.stats().resolved == 120).await;
        running.stop().await;
        let (first, again) = gauge.peaks();
        assert_eq!(first, running_max, "with {workers} workers");
        assert!(again <= 4 && (again == 4 || running_max < 4), "{again} retries with {workers} workers");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn never_more_handlers_run_than_may_on_several_threads() {
    let world = World::with_partitions(3);
    for number in 0..200 {
        world.send_to(&format!("e{number}"), &format!("e{number}"));
    }
    let gauge = Gauge::default();
    let limits = Limits { workers: 4, running_max: 6, retries_running_max: 3, ..Limits::default() };
    let consumer = OrderedConsumer::new(NAME, gauge.clone(), world.log.clone())
        .with_retry_policy(at_once())
        .with_outage_policy(OutagePolicy::off())
        .with_limits(limits);
    let running = Running::start(consumer, world.source());
    eventually("all are resolved", || running.stats().resolved == 200).await;
    running.stop().await;
    let (first, again) = gauge.peaks();
    assert!(first <= 6 && again <= 3, "{first} handlers and {again} retries");
}
