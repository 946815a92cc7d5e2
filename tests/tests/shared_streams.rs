//! Scenario 42, and more of what only shared streams have.

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    Event, EventSource, Index, Lease, Limits, Outcome,
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

// While the look-up of a receive is on its way back, saying that the entity is clear, another process fails on its first
// event and logs it. That one was received before, and so asks: "duplicate", the log has it. What is behind it in the same
// receive must not go by the look-up any more.
#[tokio::test(start_paused = true)]
async fn after_a_duplicate_answer_the_later_events_of_the_same_receive_ask_again() {
    let world = World::with(&[]);
    // More than are decided in one write.
    let texts: Vec<String> = (1..=150).map(|number| format!("a{number}")).collect();
    let options = QueueOptions { receive_max: texts.len(), ..QueueOptions::default() };
    world.broker.create_queue("jobs", options).unwrap();
    let publish = |text: &str| world.broker.publish("jobs", "a", text.to_owned()).unwrap();
    let (stream, index) = publish(&texts[0]);
    let mut crashed = world.broker.subscribe_queue("jobs").unwrap();
    while world.broker.in_flight("jobs") == 0 {
        drop(crashed.next().await.unwrap());
    }
    drop(crashed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    for text in &texts[1..] {
        publish(text);
    }
    let log = FaultyFailureLog::new(world.log.clone());
    // Whether the log is there, which stream it is, and taking note of that.
    log.script([None; 3]);
    log.fail_next(100, LogFault::StallsWritten);
    let handler = Scripted::calm();
    let running =
        Running::start(consumer(&handler, log.clone()), world.broker.subscribe_queue("jobs").unwrap());
    eventually("the receive is looked up", || log.calls().which_gated == 1).await;
    let other = handler.beside(|_, _| Act::Fail("in another process"));
    // As many as are decided in one write: all of them are duplicates, and none of them is held by it.
    let elsewhere = consumer(&other, world.log.clone());
    for (text, index) in texts.iter().zip(index.get()..).take(100) {
        let event = Event::builder(stream.clone(), Index::new(index), "a").payload(text.clone()).build();
        let outcome = elsewhere.process(event).await.unwrap();
        assert!(matches!(outcome, Outcome::RetryScheduled { .. } | Outcome::Held), "{outcome}");
    }
    log.recover();
    log.unstall();
    eventually("all are handled", || handler.runs.succeeded().len() >= texts.len()).await;
    eventually("the queue is empty", || world.broker.kept("jobs") == 0).await;
    let stats = running.stats();
    running.stop().await;
    assert_eq!((stats.duplicates, stats.held), (100, 50), "{stats:?}");
    assert_eq!(handler.runs.succeeded(), texts);
}

// Nothing more of it is begun, and its first handler may take its time to end.
#[tokio::test(start_paused = true)]
async fn what_a_look_up_brings_once_the_stream_is_let_go_of_is_given_back_at_once() {
    let world = World::with(&[]);
    let heartbeat = Some(Duration::from_secs(5));
    let options = QueueOptions { receive_max: 1, heartbeat, ..QueueOptions::default() };
    world.broker.create_queue("jobs", options).unwrap();
    let log = FaultyFailureLog::new(world.log.clone());
    let slow = Duration::from_secs(8);
    let handler = Scripted::new(move |text, _| if text == "a1" { Act::Sleep(slow) } else { Act::Succeed });
    let running =
        Running::start(consumer(&handler, log.clone()), world.broker.subscribe_queue("jobs").unwrap());
    world.broker.publish("jobs", "a", "a1").unwrap();
    eventually("the first one runs", || handler.runs.runs().len() == 1).await;
    log.stall();
    world.broker.publish("jobs", "b", "b1").unwrap();
    eventually("the second one is looked up", || log.calls().which_gated == 2).await;
    let stopping = tokio::spawn(running.stop());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.broker.in_flight("jobs"), 2);
    log.unstall();
    eventually("the second one is given back", || world.broker.in_flight("jobs") == 1).await;
    assert!(!stopping.is_finished(), "the first one runs still");
    stopping.await.unwrap();
    assert_eq!((handler.runs.succeeded(), world.broker.kept("jobs")), (vec!["a1".to_owned()], 1));
}

// One that cannot take an event stops, and goes on living: it must not keep what it was given to itself.
#[tokio::test(start_paused = true)]
async fn what_a_consumer_that_stops_was_given_comes_to_another_at_once() {
    let world = World::with(&[]);
    let heartbeat = Some(Duration::from_secs(5));
    world.broker.create_queue("jobs", QueueOptions { heartbeat, ..QueueOptions::default() }).unwrap();
    for text in ["a-large-one", "a2", "b1", "c1"] {
        world.broker.publish("jobs", text[..1].to_owned(), text).unwrap();
    }
    let handler = Scripted::calm();
    let limits = Limits { payload_bytes_max: 5, ..Limits::default() };
    let stops = world.consumer(&handler).with_limits(limits);
    let stops = Running::start(stops, world.broker.subscribe_queue("jobs").unwrap());
    eventually("it stops", || !stops.stopped_streams().is_empty()).await;
    let begun = tokio::time::Instant::now();
    let other = Running::start(world.consumer(&handler), world.broker.subscribe_queue("jobs").unwrap());
    eventually("the other one handles them", || world.broker.kept("jobs") == 0).await;
    assert!(begun.elapsed() < QueueOptions::default().visibility_timeout, "{:?}", begun.elapsed());
    other.stop().await;
    stops.stop().await;
    let mut succeeded = handler.runs.succeeded();
    succeeded.sort_unstable();
    assert_eq!(succeeded, ["a-large-one", "a2", "b1", "c1"]);
}

// A write's deadline is the lease's end as it was when the write was asked for. While the log is away, heartbeats move the
// lease on; what is then refused is given back, and what is behind it has a lease that still lasts.
#[tokio::test(start_paused = true)]
async fn when_a_hold_is_refused_by_its_deadline_nothing_behind_it_runs_first_although_its_lease_still_lasts()
{
    let world = World::with(&[]);
    let heartbeat = Some(Duration::from_secs(5));
    world.broker.create_queue("jobs", QueueOptions { heartbeat, ..QueueOptions::default() }).unwrap();
    let source = || world.broker.subscribe_queue("jobs").unwrap();
    let handler = Scripted::failing(&[("a0", 1)]);
    world.broker.publish("jobs", "a", "a0").unwrap();
    let fails = Running::start(world.consumer(&handler), source());
    eventually("the failure is logged", || world.broker.kept("jobs") == 0).await;
    fails.stop().await;
    for text in ["a1", "a2", "a3"] {
        world.broker.publish("jobs", "a", text).unwrap();
    }
    let log = FaultyFailureLog::new(world.log.clone());
    // Whether the log is there, and which stream it is.
    log.script([None; 2]);
    log.fail_next(100, LogFault::StallsWritten);
    let running = Running::start(consumer(&handler, log.clone()), source());
    eventually("the look-up has found the gate", || log.calls().which_gated == 1).await;
    log.recover();
    log.fail_randomly(1, 1, &[LogFault::Unavailable]);
    log.unstall();
    let elsewhere = Running::start_retries(Arc::new(world.consumer(&handler)));
    tokio::time::sleep(QueueOptions::default().visibility_timeout * 2).await;
    assert_eq!(handler.runs.succeeded(), ["a0"], "the others wait for the log");
    elsewhere.stop().await;
    log.recover();
    eventually("the queue is empty", || world.broker.kept("jobs") == 0).await;
    eventually("all are handled", || handler.runs.succeeded().len() >= 4).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a0", "a1", "a2", "a3"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_ended_stays_so_whoever_extends_it() {
    let lease = Lease::new(Duration::MAX);
    assert!(lease.remaining() > Duration::from_secs(1_000_000_000), "{lease:?}");
    lease.end();
    lease.extend(Duration::MAX);
    assert_eq!(lease.remaining(), Duration::ZERO);
    let lapsed = Lease::new(Duration::ZERO);
    assert_eq!(lapsed.remaining(), Duration::ZERO);
    lapsed.extend(Duration::from_secs(1));
    assert_eq!(lapsed.remaining(), Duration::from_secs(1), "one that has only run out is another matter");
}
