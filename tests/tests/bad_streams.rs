//! "Bad input": a stream that is not what it was stops, says what an operator can do, and goes on once one has decided.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::sync::Arc;

use ordered_consumer::{FailureLog, GateQuery, Index, Limits, StreamDecision, StreamName};
use ordered_consumer_tests::{
    Running, Scripted, World, eventually, on_both_logs,
    world::{NAME, TOPIC, at_once, consumer, gates, operator},
};

on_both_logs!(
    a_recreated_topic_stops_its_stream_and_goes_on_as_a_new_stream,
    a_recreated_topic_goes_on_as_the_same_stream_after_replay,
    a_position_that_went_back_stops_its_stream_and_is_handled_again_after_replay,
    a_stream_whose_name_leaves_no_room_can_be_replayed,
    a_decision_about_a_stream_leaves_a_line_in_the_audit,
    what_is_no_event_stops_its_stream_once_what_came_before_is_done,
);

fn start(handler: &Scripted, log: &Arc<dyn FailureLog>, world: &World) -> Running<Scripted> {
    let limits = Limits { workers: 1, ..Limits::default() };
    let consumer = consumer(handler, Arc::clone(log)).with_retry_policy(at_once()).with_limits(limits);
    Running::start(consumer, world.source())
}

/// Runs until the broker was told of everything, and stops in good order.
async fn run_all(handler: &Scripted, log: &Arc<dyn FailureLog>, world: &World) {
    let running = start(handler, log, world);
    eventually("the broker is told of everything", || world.broker.lag(NAME) == 0).await;
    running.stop().await;
}

/// What is said about the world's only stream, which stops.
async fn why_it_stops(handler: &Scripted, log: &Arc<dyn FailureLog>, world: &World) -> String {
    let running = start(handler, log, world);
    eventually("it stops", || !running.stopped_streams().is_empty()).await;
    let stopped = running.stopped_streams();
    assert_eq!((stopped.len(), &stopped[0].0, running.stats().stopped), (1, &world.stream(0), 1));
    running.stop().await;
    stopped[0].1.clone()
}

/// A world in which `a1`, `a2`, `b1` came: the entity `b` is handled, and `a` waits with its attempts used up.
async fn with_a_parked_entity(log: &Arc<dyn FailureLog>) -> (World, Scripted) {
    let world = World::with(&["a1", "a2", "b1"]);
    let handler = Scripted::new(|text, _| match text {
        "a1" => ordered_consumer_tests::Act::Permanent,
        _ => ordered_consumer_tests::Act::Succeed,
    });
    run_all(&handler, log, &world).await;
    assert_eq!(gates(log).await.len(), 1);
    (world, handler)
}

async fn a_recreated_topic_stops_its_stream_and_goes_on_as_a_new_stream(log: Arc<dyn FailureLog>) {
    let (world, handler) = with_a_parked_entity(&log).await;
    world.broker.recreate_topic(TOPIC).unwrap();
    world.send(&["a7", "c1"]);
    let why = why_it_stops(&handler, &log, &world).await;
    assert!(why.contains("deleted and created again"), "{why}");
    assert!(why.contains("new stream") && why.contains("replay"), "{why}");
    assert_eq!((handler.runs.times("a7"), world.broker.lag(NAME)), (0, 2), "nothing was taken");
    let operator = operator(Arc::clone(&log));
    operator.decide_stream(&world.stream(0), StreamDecision::NewStream, "it was recreated").await.unwrap();
    let after = handler.beside(|_, _| ordered_consumer_tests::Act::Succeed);
    let running = start(&after, &log, &world);
    eventually("the new events are handled", || after.runs.has("a7") && after.runs.has("c1")).await;
    eventually("and settled", || world.broker.lag(NAME) == 0).await;
    // What the old stream held waits on its own, and goes on when somebody lets it.
    let apart = gates(&log).await;
    assert_eq!(apart.len(), 1);
    assert_ne!(apart[0].key.stream, world.stream(0));
    assert_eq!(apart[0].gate.held_events, 2);
    operator.retry(&apart[0], "it is mended").await.unwrap();
    eventually("the old events are handled, too", || after.runs.has("a2")).await;
    running.stop().await;
    assert_eq!(after.runs.succeeded_of("a"), ["a7", "a1", "a2"]);
    assert!(gates(&log).await.is_empty());
}

async fn a_recreated_topic_goes_on_as_the_same_stream_after_replay(log: Arc<dyn FailureLog>) {
    let (world, handler) = with_a_parked_entity(&log).await;
    world.broker.recreate_topic(TOPIC).unwrap();
    // The same events once more, as when a topic is restored from a copy.
    world.send(&["a1", "a2", "b1", "a3"]);
    why_it_stops(&handler, &log, &world).await;
    let operator = operator(Arc::clone(&log));
    operator.decide_stream(&world.stream(0), StreamDecision::Replay, "it was restored").await.unwrap();
    run_all(&handler, &log, &world).await;
    assert_eq!(handler.runs.times("b1"), 2, "what was settled is handled again");
    let parked = gates(&log).await.remove(0);
    assert_eq!(parked.gate.held_events, 3, "what was held is held once, and the next behind it");
    assert_eq!((handler.runs.times("a1"), handler.runs.times("a3")), (1, 0));
}

async fn a_position_that_went_back_stops_its_stream_and_is_handled_again_after_replay(
    log: Arc<dyn FailureLog>,
) {
    let world = World::with(&["a1", "b1", "a2"]);
    let handler = Scripted::failing(&[("a1", 1)]);
    let running = start(&handler, &log, &world);
    eventually("the retry and what is behind it are handled, too", || handler.runs.has("a2")).await;
    eventually("the broker is told of everything", || world.broker.lag(NAME) == 0).await;
    running.stop().await;
    world.broker.rewind(NAME, &world.stream(0), Index::new(1)).unwrap();
    let why = why_it_stops(&handler, &log, &world).await;
    assert!(why.contains("from index 1") && why.contains("up to 2"), "{why}");
    assert!(why.contains("replay") && why.contains("new stream"), "{why}");
    let before = handler.runs.succeeded().len();
    let operator = operator(Arc::clone(&log));
    operator.decide_stream(&world.stream(0), StreamDecision::Replay, "they were wrong").await.unwrap();
    let running = start(&handler, &log, &world);
    eventually("they are handled again", || handler.runs.succeeded().len() >= before + 2).await;
    eventually("and settled", || world.broker.lag(NAME) == 0).await;
    assert!(running.stopped_streams().is_empty());
    running.stop().await;
    assert_eq!(handler.runs.succeeded()[before..], ["b1", "a2"]);
}

async fn a_stream_whose_name_leaves_no_room_can_be_replayed(log: Arc<dyn FailureLog>) {
    let longest = StreamName::new("n".repeat(ordered_consumer::NAME_BYTES_MAX)).unwrap();
    let operator = operator(Arc::clone(&log));
    let handler = Scripted::calm();
    let owner = consumer(&handler, Arc::clone(&log));
    let options = ordered_consumer::TakeOverOptions::default();
    owner.take_over(longest.clone(), options, async || true).await.unwrap().release(None).await.unwrap();
    let refused = operator.decide_stream(&longest, StreamDecision::NewStream, "why not").await.unwrap_err();
    assert!(std::error::Error::source(&refused).unwrap().to_string().contains("too long"), "{refused:?}");
    operator.decide_stream(&longest, StreamDecision::Replay, "then so").await.unwrap();
}

async fn a_decision_about_a_stream_leaves_a_line_in_the_audit(log: Arc<dyn FailureLog>) {
    let (world, _) = with_a_parked_entity(&log).await;
    let operator = operator(Arc::clone(&log));
    operator.decide_stream(&world.stream(0), StreamDecision::NewStream, "because").await.unwrap();
    let lines = operator.audit(None, 10).await.unwrap();
    assert!(lines.iter().any(|line| &*line.audit.why == "because" && &*line.audit.by == "ann"), "{lines:?}");
    let query = GateQuery { stream: Some(world.stream(0)), limit: 10, ..GateQuery::default() };
    assert!(operator.list(&query).await.unwrap().is_empty(), "the name begins anew");
}

async fn what_is_no_event_stops_its_stream_once_what_came_before_is_done(log: Arc<dyn FailureLog>) {
    let world = World::with_partitions(2);
    let (stream, _) = world.send_to("a", "a1");
    // The other stream has fewer events than the index.
    let (_, unreadable) = world.send_to("a", "a2");
    world.send_to("a", "a3");
    let other = (b'b'..=b'z').map(|letter| char::from(letter).to_string());
    let other =
        other.map(|entity| world.send_to(&entity, &format!("{entity}1"))).find(|(at, _)| *at != stream);
    let (handler, source) = (Scripted::calm(), ordered_consumer::testing::FaultySource::new(world.source()));
    source.faults().cannot_read(unreadable);
    let consumer = consumer(&handler, Arc::clone(&log)).with_retry_policy(at_once());
    let running = Running::start(consumer, source);
    eventually("it stops", || !running.stopped_streams().is_empty()).await;
    let stopped = running.stopped_streams();
    assert_eq!(stopped[0].0, stream);
    assert!(stopped[0].1.contains("it is no event"), "{stopped:?}");
    eventually("the other stream goes on", || {
        world.broker.committed(NAME, &other.clone().unwrap().0).is_some()
    })
    .await;
    assert_eq!(world.broker.committed(NAME, &stream), unreadable.before(), "nothing is told done past it");
    assert!(!handler.runs.succeeded().contains(&"a3".to_owned()));
    running.stop().await;
}
