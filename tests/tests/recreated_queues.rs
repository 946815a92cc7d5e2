//! "Bad input": a queue that was deleted and made again under the same name. Its indexes mean other events now, so that what
//! the failure log knows of the old ones must not be believed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::{sync::Arc, time::Duration};

use ordered_consumer::{
    ConsumerName, FailureLog, MemoryFailureLog, StreamDecision, StreamName,
    in_memory_broker::{InMemoryBroker, QueueOptions},
    testing::{FaultyFailureLog, LogFault},
};
use ordered_consumer_tests::{
    Act, Running, Scripted, eventually, on_both_logs,
    world::{NAME, at_once, consumer, gates, operator},
};

const QUEUE: &str = "jobs";

on_both_logs!(
    a_recreated_queue_stops_its_stream_and_goes_on_as_a_new_stream,
    a_recreated_queue_goes_on_as_the_same_stream_after_replay,
    a_queue_that_is_what_it_was_is_consumed_at_the_next_start_and_nothing_is_raised,
);

fn stream() -> StreamName {
    StreamName::new(QUEUE).unwrap()
}

fn send(broker: &InMemoryBroker, texts: &[&'static str]) {
    for text in texts {
        broker.publish(QUEUE, &text[..1], *text).unwrap();
    }
}

fn broker() -> InMemoryBroker {
    let broker = InMemoryBroker::new();
    let heartbeat = Some(Duration::from_secs(5));
    broker.create_queue(QUEUE, QueueOptions { heartbeat, ..QueueOptions::default() }).unwrap();
    broker
}

fn start(handler: &Scripted, log: &Arc<dyn FailureLog>, broker: &InMemoryBroker) -> Running<Scripted> {
    let consumer = consumer(handler, Arc::clone(log)).with_retry_policy(at_once());
    Running::start(consumer, broker.subscribe_queue(QUEUE).unwrap())
}

/// A queue that was consumed, and then recreated, with two events that would be taken for duplicates: `a` has a tombstone up to
/// index 2. Of `b` two are held. Gives a handler for what comes now.
async fn recreated(log: &Arc<dyn FailureLog>) -> (InMemoryBroker, Scripted) {
    let broker = broker();
    send(&broker, &["a1", "a2", "a3", "b1", "b2"]);
    let handler = Scripted::new(|text, run| match text {
        "a1" if run == 1 => Act::Fail("at first"),
        "b1" => Act::Permanent,
        _ => Act::Succeed,
    });
    let running = start(&handler, log, &broker);
    eventually("all of it is done with", || broker.kept(QUEUE) == 0).await;
    eventually("and handled, but for what is parked", || handler.runs.succeeded().len() == 3).await;
    running.stop().await;
    broker.recreate_queue(QUEUE).unwrap();
    send(&broker, &["a4", "a5"]);
    (broker, Scripted::calm())
}

/// It stops, says why, and has handled and deleted nothing, and keeps nothing from others.
async fn stops(running: &Running<Scripted>, handler: &Scripted, broker: &InMemoryBroker) {
    eventually("it stops", || !running.stopped_streams().is_empty()).await;
    let (name, why) = running.stopped_streams().remove(0);
    assert_eq!(name, stream());
    assert!(why.contains("deleted and created again"), "{why}");
    assert!(why.contains("new stream") && why.contains("replay"), "{why}");
    eventually("nothing is kept from others", || broker.in_flight(QUEUE) == 0).await;
    assert_eq!((broker.kept(QUEUE), handler.runs.runs().len()), (2, 0), "nothing was taken");
}

/// A recreated queue is consumed in vain, an operator decides about it, and it is consumed again.
async fn decided(
    log: &Arc<dyn FailureLog>,
    decision: StreamDecision,
) -> (InMemoryBroker, Scripted, Running<Scripted>) {
    let (broker, handler) = recreated(log).await;
    let running = start(&handler, log, &broker);
    stops(&running, &handler, &broker).await;
    running.stop().await;
    operator(Arc::clone(log)).decide_stream(&stream(), decision, "it was recreated").await.unwrap();
    let running = start(&handler, log, &broker);
    (broker, handler, running)
}

async fn a_recreated_queue_stops_its_stream_and_goes_on_as_a_new_stream(log: Arc<dyn FailureLog>) {
    let (broker, handler, running) = decided(&log, StreamDecision::NewStream).await;
    // They were given before, and so go through the log.
    eventually("the new events are handled", || handler.runs.succeeded().len() == 2).await;
    eventually("the queue is empty", || broker.kept(QUEUE) == 0).await;
    assert_eq!(handler.runs.succeeded(), ["a4", "a5"]);
    // What the old stream held waits on its own, and goes on when somebody lets it.
    let apart = gates(&log).await.into_iter().find(|gate| gate.key.stream != stream()).unwrap();
    operator(Arc::clone(&log)).retry(&apart, "it is mended").await.unwrap();
    eventually("the old events are handled, too", || handler.runs.has("b2")).await;
    running.stop().await;
    assert!(gates(&log).await.is_empty());
}

async fn a_recreated_queue_goes_on_as_the_same_stream_after_replay(log: Arc<dyn FailureLog>) {
    let (broker, handler, running) = decided(&log, StreamDecision::Replay).await;
    eventually("the events are handled", || handler.runs.succeeded().len() == 2).await;
    running.stop().await;
    assert_eq!((broker.kept(QUEUE), handler.runs.succeeded()), (0, vec!["a4".to_owned(), "a5".to_owned()]));
    assert_eq!(gates(&log).await.remove(0).key.stream, stream(), "what was held is held there still");
}

async fn a_queue_that_is_what_it_was_is_consumed_at_the_next_start_and_nothing_is_raised(
    log: Arc<dyn FailureLog>,
) {
    let (broker, handler) = (broker(), Scripted::calm());
    for round in [["a1", "b1"], ["a2", "b2"], ["a3", "b3"]] {
        send(&broker, &round);
        let running = start(&handler, &log, &broker);
        eventually("the events are done with", || broker.kept(QUEUE) == 0).await;
        running.stop().await;
    }
    let name = ConsumerName::new(NAME).unwrap();
    let record = log.stream(&name, &stream()).await.unwrap().unwrap();
    assert_eq!((record.generation, record.settled, record.uncommitted_max), (1, None, 0));
}

// Each of them reads, at most one writes, and the others read once more.
#[tokio::test(start_paused = true)]
async fn many_consumers_that_begin_at_once_agree_on_which_queue_it_is_without_a_storm() {
    let (broker, handler) = (broker(), Scripted::calm());
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    // All of them read before the first writes.
    log.slow(3, 3);
    let shared: Arc<dyn FailureLog> = Arc::new(log.clone());
    let all: Vec<_> = (0..50).map(|_| start(&handler, &shared, &broker)).collect();
    send(&broker, &["a1", "b1", "c1"]);
    eventually("the events are done with", || broker.kept(QUEUE) == 0).await;
    eventually("all have begun", || log.calls().stream >= 50).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let calls = log.calls();
    assert!(calls.take_over > 1, "they do begin at once: {calls:?}");
    assert!(calls.take_over <= 50 && calls.stream <= 100, "{calls:?}");
    for running in all {
        assert!(running.stopped_streams().is_empty());
        running.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn while_the_log_or_the_broker_does_not_say_which_queue_it_is_it_is_asked_again_and_nothing_is_handled()
{
    let (broker, handler) = (broker(), Scripted::calm());
    let log = FaultyFailureLog::new(MemoryFailureLog::new());
    let shared: Arc<dyn FailureLog> = Arc::new(log.clone());
    send(&broker, &["a1", "a2"]);
    // Whether it is there is asked before.
    log.script([None]);
    log.fail_next(200, LogFault::Unavailable);
    let running = start(&handler, &shared, &broker);
    eventually("it is asked again", || log.calls().stream >= 20).await;
    assert_eq!((broker.kept(QUEUE), handler.runs.runs().len()), (2, 0));
    assert!(running.stopped_streams().is_empty());
    broker.unavailable(true);
    log.recover();
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = log.calls().stream;
    eventually("the broker is asked again", || log.calls().stream >= before + 3).await;
    assert_eq!((log.calls().take_over, handler.runs.runs().len()), (0, 0));
    broker.unavailable(false);
    eventually("all are done with", || broker.kept(QUEUE) == 0).await;
    running.stop().await;
    assert_eq!(handler.runs.succeeded(), ["a1", "a2"]);
}

// A receive is under way while the log is read: what it brings is given back, be it before or after.
#[tokio::test(start_paused = true)]
async fn what_comes_before_the_queue_is_known_to_be_another_one_is_given_back_and_not_deleted() {
    let memory = MemoryFailureLog::new();
    let (broker, handler) = recreated(&(Arc::new(memory.clone()) as Arc<dyn FailureLog>)).await;
    let log = FaultyFailureLog::new(memory);
    log.script([None]);
    log.fail_next(100, LogFault::StallsWritten);
    let running = start(&handler, &(Arc::new(log.clone()) as Arc<dyn FailureLog>), &broker);
    eventually("events are received", || broker.in_flight(QUEUE) == 2).await;
    eventually("the log is asked", || log.calls().stream == 1).await;
    log.recover();
    log.unstall();
    stops(&running, &handler, &broker).await;
    running.stop().await;
    assert_eq!(broker.kept(QUEUE), 2);
}
