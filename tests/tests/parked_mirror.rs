//! Parked events are shown to the mirror: at least once, whoever dies, and nothing waits for it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

use std::{future::pending, sync::Arc, time::Duration};

use async_trait::async_trait;
use ordered_consumer::{
    FailureLog, GateQuery, OrderedConsumer, ParkCause, ParkedEvent, ParkedPublisher, PublishError,
    RetryPolicy,
    in_memory_broker::InMemoryParkedTopic,
    testing::{FaultyFailureLog, FaultyPublisher, LogFault, PublishFault},
};
use ordered_consumer_tests::{
    Act, Running, Scripted, World, eventually, on_both_logs,
    recorder::text_of,
    world::{NAME, consumer, gates, operator, seconds},
};

fn texts(mirror: &InMemoryParkedTopic) -> Vec<String> {
    mirror.events().iter().map(|parked| text_of(&parked.event)).collect()
}

/// A handler that gives these events up.
fn giving_up(parked: &'static [&'static str]) -> Scripted {
    Scripted::new(|text, _| if parked.contains(&text) { Act::Permanent } else { Act::Succeed })
}

/// Waits until the log says that every parked head is mirrored, of which there must be so many.
async fn until_mirrored(log: &impl FailureLog, parked: usize) {
    for _ in 0..90_000 {
        let gates = gates(log).await;
        let told = gates.iter().filter(|gate| gate.gate.parked.is_some() && gate.gate.due_at.is_none());
        if told.count() == parked {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not every parked head is mirrored: {:?}", gates(log).await);
}

/// Crashes at the moment of the call after `calls`; says whether there was one, and how often the mirror was told what it
/// had been told already.
async fn crash_at_store_call(calls: usize, fault: LogFault) -> (bool, usize) {
    let world = World::with(&["a1", "b1", "a2", "c1", "c2"]);
    let mirror = InMemoryParkedTopic::new();
    let log = FaultyFailureLog::new(world.log.clone());
    log.fail_after(calls, fault);
    let handler = Scripted::new(|text, attempt| match text {
        "a1" => Act::Permanent,
        "c2" => Act::Fail("until it is parked"),
        "b1" => Act::succeed_if(attempt > 1),
        _ => Act::Succeed,
    });
    let policy = || RetryPolicy::fixed(Duration::from_secs(1)).immediate(0).jitter(0.0).attempts_max(3);
    let first = consumer(&handler, log.clone()).with_retry_policy(policy());
    let first = Running::start(first.with_parked_mirror(mirror.clone()), world.source());
    let all = async {
        eventually("both are mirrored", || mirror.events().len() >= 2).await;
        until_mirrored(&world.log, 2).await;
    };
    let stalled = tokio::select! {
        () = log.until_stalled(1) => true,
        () = all => false,
    };
    first.crash().await;
    log.unstall();
    let second = world.consumer(&handler).with_retry_policy(policy()).with_parked_mirror(mirror.clone());
    let second = Running::start(second, world.source());
    eventually("everything is done with", || world.broker.lag(NAME) == 0).await;
    eventually("what is well is handled", || {
        let done = handler.runs.succeeded();
        ["b1", "c1"].iter().all(|text| done.iter().any(|done| done == text))
    })
    .await;
    until_mirrored(&world.log, 2).await;
    second.stop().await;
    let mut told: Vec<_> =
        mirror.events().iter().map(|parked| (text_of(&parked.event), parked.version)).collect();
    for gate in world.gates().await {
        let event = if gate.key.entity == "a" { "a1" } else { "c2" };
        assert!(told.contains(&(event.to_owned(), gate.gate.version)), "{gate:?} is not in {told:?}");
    }
    assert!(handler.runs.times("a1") <= 2, "once in each process, and never because of the mirror");
    assert_eq!(handler.runs.times("a2"), 0, "the mirror lets nothing pass");
    let every = told.len();
    told.sort();
    told.dedup();
    (stalled, every - told.len())
}

/// Between the park and the publish, between the publish and its record, and anywhere else.
#[tokio::test(start_paused = true)]
async fn a_park_is_mirrored_wherever_the_process_dies() {
    for fault in [LogFault::StallsUnwritten, LogFault::StallsWritten] {
        let (mut calls, mut repeats) = (0, 0);
        loop {
            let (stalled, repeated) = crash_at_store_call(calls, fault).await;
            repeats += repeated;
            calls += 1;
            if !stalled {
                break;
            }
        }
        assert!(calls > 12, "the log was called {calls} times only");
        let unwritten = fault == LogFault::StallsUnwritten;
        assert!(!unwritten || repeats > 0, "none of the crashes came between a publish and its record");
    }
}

async fn what_is_mirrored_says_why_it_parked(log: Arc<dyn FailureLog>) {
    let world = World::with(&["a1", "a2", "b1"]);
    let (mirror, handler) = (InMemoryParkedTopic::new(), giving_up(&["a1", "a2"]));
    let consumer = consumer(&handler, Arc::clone(&log)).with_parked_mirror(mirror.clone());
    let running = Running::start(consumer, world.source());
    eventually("the first is mirrored", || texts(&mirror) == ["a1"]).await;
    let parked: ParkedEvent = mirror.events().remove(0);
    assert_eq!((parked.cause, parked.attempts, parked.consumer.as_str()), (ParkCause::Permanent, 1, NAME));
    let last = parked.last_failure.unwrap();
    assert!(last.text.contains("for good") && parked.first_failure == Some(last));
    until_mirrored(&log, 1).await;
    let ann = operator(Arc::clone(&log));
    ann.skip(&gates(&log).await[0], "it is of no use").await.unwrap();
    eventually("the next one parks, and is mirrored too", || texts(&mirror) == ["a1", "a2"]).await;
    until_mirrored(&log, 1).await;
    assert_eq!((running.stats().mirrored, running.stats().mirror_refused), (2, 0));
    running.stop().await;
}

async fn what_an_operator_parks_is_mirrored_too(log: Arc<dyn FailureLog>) {
    let world = World::with(&["a1"]);
    let mirror = InMemoryParkedTopic::new();
    let handler = Scripted::failing(&[("a1", u32::MAX)]);
    let policy = RetryPolicy::fixed(Duration::from_secs(3_600)).immediate(0).jitter(0.0);
    let consumer = consumer(&handler, Arc::clone(&log)).with_retry_policy(policy);
    let running = Running::start(consumer.with_parked_mirror(mirror.clone()), world.source());
    eventually("it waits", || running.stats().retry_scheduled == 1).await;
    assert_eq!(texts(&mirror), [""; 0], "what is only tried again is not mirrored");
    // Of another process: nobody wakes the relay.
    operator(Arc::clone(&log)).park(&gates(&log).await[0], "let me see").await.unwrap();
    eventually("it is mirrored", || texts(&mirror) == ["a1"]).await;
    assert_eq!(mirror.events()[0].cause, ParkCause::Operator);
    until_mirrored(&log, 1).await;
    running.stop().await;
    assert_eq!(handler.runs.times("a1"), 1);
}

async fn without_a_mirror_an_operators_park_is_forgotten_at_the_next_look(log: Arc<dyn FailureLog>) {
    let world = World::with(&["a1"]);
    let handler = Scripted::failing(&[("a1", u32::MAX)]);
    let policy = RetryPolicy::fixed(Duration::from_secs(3_600)).immediate(0).jitter(0.0);
    let consumer = consumer(&handler, Arc::clone(&log)).with_retry_policy(policy);
    let running = Running::start(consumer, world.source());
    eventually("it waits", || running.stats().retry_scheduled == 1).await;
    operator(Arc::clone(&log)).park(&gates(&log).await[0], "let me see").await.unwrap();
    until_mirrored(&log, 1).await;
    assert_eq!((handler.runs.times("a1"), running.stats().mirrored), (1, 0));
    running.stop().await;
}

async fn what_had_parked_before_is_mirrored_when_an_operator_asks(log: Arc<dyn FailureLog>) {
    const PARKED: usize = 250;
    let world = World::with_partitions(1);
    for number in 0..PARKED {
        world.send_to(&format!("e{number}"), "parked");
    }
    world.send(&["a1"]);
    let handler =
        Scripted::new(|text, _| if text == "parked" { Act::Permanent } else { Act::Fail("not yet") });
    let policy = RetryPolicy::fixed(Duration::from_secs(3_600)).immediate(0).jitter(0.0);
    let consumer = |log| consumer(&handler, log).with_retry_policy(policy.clone());
    let before = Running::start(consumer(Arc::clone(&log)), world.source());
    eventually("all are parked", || before.stats().parked == PARKED as u64).await;
    eventually("the other one waits", || before.stats().retry_scheduled == 1).await;
    before.stop().await;
    let mirror = InMemoryParkedTopic::new();
    let after = Running::start(consumer(Arc::clone(&log)).with_parked_mirror(mirror.clone()), world.source());
    let due = after.operator("ann").unwrap().mirror_all(&GateQuery::default(), "we have a mirror now").await;
    assert_eq!(due.unwrap(), PARKED as u64, "and not what is only tried again");
    until_mirrored(&log, PARKED).await;
    let mut entities: Vec<_> = mirror.events().iter().map(|parked| parked.event.entity().clone()).collect();
    entities.sort();
    entities.dedup();
    assert_eq!(entities.len(), PARKED);
    after.stop().await;
}

on_both_logs! {
    what_had_parked_before_is_mirrored_when_an_operator_asks,
    what_is_mirrored_says_why_it_parked,
    what_an_operator_parks_is_mirrored_too,
    without_a_mirror_an_operators_park_is_forgotten_at_the_next_look,
}

#[tokio::test(start_paused = true)]
async fn what_the_mirror_refuses_is_reported_once_and_stays_parked() {
    let world = World::with(&["a1", "b1"]);
    let topic = InMemoryParkedTopic::new();
    topic.refuse_above(2);
    let mirror = FaultyPublisher::new(topic.clone());
    let handler = giving_up(&["a1"]);
    let running = Running::start(world.consumer(&handler).with_parked_mirror(mirror.clone()), world.source());
    eventually("it is refused", || running.stats().mirror_refused == 1).await;
    until_mirrored(&world.log, 1).await;
    tokio::time::sleep(Duration::from_secs(90_000)).await;
    assert_eq!((mirror.events(), topic.events().len()), (1, 0), "it is not tried again");
    let gate = world.gate("a").await;
    assert_eq!(gate.gate.parked, Some(ParkCause::Permanent));
    let lines = world.operator().audit(Some(&gate.key), 10).await.unwrap();
    let lines: Vec<_> = lines.iter().map(|line| (line.audit.action, &*line.audit.by)).collect();
    assert_eq!(lines, [("not mirrored", "relay")]);
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_is_away_is_tried_again_after_waits_that_grow() {
    let world = World::with(&["a1"]);
    let topic = InMemoryParkedTopic::new();
    let mirror = FaultyPublisher::new(topic.clone());
    mirror.fail_next(3, PublishFault::Unavailable);
    mirror.fail_next(1, PublishFault::AnswerLost);
    let handler = giving_up(&["a1"]);
    let begun = tokio::time::Instant::now();
    let running = Running::start(world.consumer(&handler).with_parked_mirror(mirror.clone()), world.source());
    until_mirrored_by(&mirror, 4).await;
    // Looks after 30, 60 and 120 s, each at most a poll late.
    assert!(begun.elapsed() >= Duration::from_secs(210) && begun.elapsed() < Duration::from_secs(230));
    until_mirrored(&world.log, 1).await;
    assert_eq!(texts(&topic), ["a1", "a1"], "one whose answer was lost is published again");
    running.stop().await;
}

async fn until_mirrored_by(mirror: &FaultyPublisher<InMemoryParkedTopic>, tries: u64) {
    eventually("it was tried so often", || mirror.events() >= tries).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_unparked_before_the_mirror_had_it_is_not_mirrored() {
    let world = World::with(&["a1"]);
    let topic = InMemoryParkedTopic::new();
    let mirror = FaultyPublisher::new(topic.clone());
    mirror.fail_next(1, PublishFault::Unavailable);
    let handler = Scripted::new(|_, attempt| if attempt > 1 { Act::Succeed } else { Act::Permanent });
    let again = handler.beside(|_, _| Act::Succeed);
    let first = Running::start(world.consumer(&handler).with_parked_mirror(mirror.clone()), world.source());
    until_mirrored_by(&mirror, 1).await;
    first.stop().await;
    let second = Running::start(world.consumer(&again).with_parked_mirror(mirror.clone()), world.source());
    world.operator().retry(&world.gate("a").await, "it is mended").await.unwrap();
    eventually("it is resolved", || second.stats().resolved == 1).await;
    tokio::time::sleep(Duration::from_secs(90_000)).await;
    assert_eq!((topic.events().len(), mirror.events()), (0, 1));
    second.stop().await;
}

/// A mirror that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl ParkedPublisher for Silent {
    fn describe(&self) -> String {
        "silent".to_owned()
    }

    async fn publish(&self, _: &ParkedEvent) -> Result<(), PublishError> {
        pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_that_never_answers_keeps_neither_retries_nor_the_shutdown_waiting() {
    let world = World::with_partitions(1);
    for number in 0..300 {
        world.send_to(&format!("e{number}"), "parked");
    }
    world.send(&["a1", "a2"]);
    let handler = Scripted::new(|text, attempt| match text {
        "parked" => Act::Permanent,
        "a1" => Act::succeed_if(attempt > 3),
        _ => Act::Succeed,
    });
    let running = Running::start(world.consumer(&handler).with_parked_mirror(Silent), world.source());
    eventually("all of them are parked", || running.stats().parked == 300).await;
    eventually("the others go on", || running.stats().resolved == 2).await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2"]);
    running.stop().await;
}

/// Those who call `process` mirror by running the retries.
#[tokio::test(start_paused = true)]
async fn what_process_parks_is_mirrored_by_whoever_runs_the_retries() {
    let world = World::with(&[]);
    let (mirror, handler) = (InMemoryParkedTopic::new(), giving_up(&["a1"]));
    let consumer: OrderedConsumer<Scripted> =
        world.consumer(&handler).with_retry_policy(seconds()).with_parked_mirror(mirror.clone());
    let consumer = Arc::new(consumer);
    let event = ordered_consumer::Event::builder(world.stream(0), ordered_consumer::Index::new(1), "a");
    let outcome = consumer.process(event.payload("a1").build()).await.unwrap();
    assert_eq!(outcome, ordered_consumer::Outcome::Parked(ParkCause::Permanent));
    let retries = Running::start_retries(Arc::clone(&consumer));
    eventually("it is mirrored", || texts(&mirror) == ["a1"]).await;
    until_mirrored(&world.log, 1).await;
    retries.stop().await;
}
