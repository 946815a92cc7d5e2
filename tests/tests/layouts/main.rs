//! Partitions are added while entities are gated: the new ones wait for the old ones.

#![expect(clippy::expect_used, reason = "what helps the tests may end them")]

mod moves;

use std::time::Duration;

use ordered_consumer::{
    ConsumerName, FailureLog, Index, OrderedConsumer, StreamDecision, StreamName, StreamsAdded, Timeouts,
    gate::LayoutStep, in_memory_broker::NewEvent,
};
use ordered_consumer_tests::{
    Act, Latch, Running, Scripted, World, eventually,
    partitions::{moving, partition_of},
    world::{NAME, TOPIC},
};

use moves::Moves;

/// Producers notice at once: the in-memory broker chooses the partition itself.
fn timeouts() -> Timeouts {
    Timeouts { producers_notice: Duration::ZERO, ..Timeouts::default() }
}

fn consumer(world: &World, handler: &Scripted) -> OrderedConsumer<Scripted> {
    world.consumer(handler).with_timeouts(timeouts())
}

fn start(world: &World, handler: &Scripted) -> Running<Scripted> {
    Running::start(consumer(world, handler), world.source())
}

fn texts(entity: &str, numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| format!("{entity}{number}")).collect()
}

fn send(world: &World, entity: &str, numbers: std::ops::RangeInclusive<u32>) {
    for text in texts(entity, numbers) {
        world.send_to(entity, &text);
    }
}

/// Waits until the stream waits for something whose text has these words, and says it all.
async fn until_it_waits(consumer: &OrderedConsumer<Scripted>, stream: &StreamName, words: &str) {
    let waits = || consumer.waiting_streams();
    eventually(&format!("{stream} waits: {words}; instead {:?}", waits()), || {
        waits().iter().any(|(waiting, why)| waiting == stream && why.contains(words))
    })
    .await;
}

async fn wait_for(time: u64) {
    tokio::time::sleep(Duration::from_secs(time)).await;
}

/// A handler whose runs of this text fail until the latch is open.
fn failing_until(latch: &Latch, failing: String) -> Scripted {
    let latch = latch.clone();
    Scripted::new(move |text, _| Act::succeed_if(text != failing || latch.is_open()))
}

#[tokio::test(start_paused = true)]
async fn an_entity_that_is_gated_in_its_old_partition_keeps_its_order_in_a_new_one() {
    let moves = Moves::new((2, 4), (1, 3), 2);
    let running = moves.start();
    moves.add_partitions_once_it_is_gated().await;
    moves.send_up_to(4);
    let words = "stream orders/1 has events in the failure log, up to index 1";
    until_it_waits(&running, &moves.world.stream(3), words).await;
    assert_eq!(running.waiting_streams().len(), 2, "the other one that is new, too");
    wait_for(600).await;
    moves.succeeds_in_order_up_to(4).await;
    eventually("nothing waits any more", || running.waiting_streams().is_empty()).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_waiting_it_is_overtaken() {
    let moves = Moves::new((2, 4), (1, 3), 2);
    let (world, entity, runs) = (&moves.world, &moves.entity, &moves.handler.runs);
    let consumer = consumer(world, &moves.handler).with_streams_added(StreamsAdded::Continue);
    let running = Running::start(consumer, world.source());
    moves.add_partitions_once_it_is_gated().await;
    moves.send_up_to(3);
    eventually("the later one is handled", || runs.has(&format!("{entity}3"))).await;
    moves.mended.open();
    world.until_done(runs).await;
    assert_eq!(runs.succeeded_of(entity), [3, 1, 2].map(|number| format!("{entity}{number}")));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_old_partitions_held_is_handled_first_also_when_nothing_fails() {
    let world = World::with_partitions(2);
    let entity = moving(2, 4, (0, 2));
    send(&world, &entity, 1..=1);
    let slow = Latch::new();
    let handler = Scripted::new({
        let (slow, first) = (slow.clone(), format!("{entity}1"));
        move |text, _| if text == first { Act::wait(&slow) } else { Act::Succeed }
    });
    let running = start(&world, &handler);
    eventually("it runs", || 1 == handler.runs.times(&format!("{entity}1"))).await;
    world.broker.add_partitions(TOPIC, 4).unwrap();
    send(&world, &entity, 2..=2);
    until_it_waits(
        &running,
        &world.stream(2),
        "orders/0 is to be settled up to index 0, and is up to nothing",
    )
    .await;
    slow.open();
    world.until_done(&handler.runs).await;
    assert_eq!(handler.runs.succeeded_of(&entity), texts(&entity, 1..=2));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failure_behind_what_the_old_partitions_held_keeps_nothing_waiting() {
    let world = World::with_partitions(1);
    let (stays, moved) = (moving(1, 2, (0, 0)), moving(1, 2, (0, 1)));
    let (slow, mended) = (Latch::new(), Latch::new());
    let handler = Scripted::new({
        let (slow, mended) = (slow.clone(), mended.clone());
        let (first, failing) = (format!("{moved}1"), format!("{stays}1"));
        move |text, _| {
            if text == first {
                Act::wait(&slow)
            } else {
                Act::succeed_if(text != failing || mended.is_open())
            }
        }
    });
    send(&world, &moved, 1..=1);
    let running = start(&world, &handler);
    eventually("it runs", || 1 == handler.runs.times(&format!("{moved}1"))).await;
    world.broker.add_partitions(TOPIC, 2).unwrap();
    send(&world, &moved, 2..=2);
    until_it_waits(&running, &world.stream(1), "orders/0 is to be settled up to index 0").await;
    let (stream, index) = world.send_to(&stays, &format!("{stays}1"));
    assert_eq!((stream, index), (world.stream(0), Index::new(1)));
    world.until("it failed", &stays, |gate| gate.gate.held_events == 1).await;
    slow.open();
    eventually("the new partition goes on", || handler.runs.has(&format!("{moved}2"))).await;
    world.until("the other entity does not", &stays, |gate| gate.gate.held_events == 1).await;
    mended.open();
    world.until_done(&handler.runs).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn new_partitions_of_another_process_wait_too() {
    let moves = Moves::new((2, 4), (1, 3), 2);
    let first = moves.start();
    moves.add_partitions_once_it_is_gated().await;
    let second = moves.start();
    let waiting = || first.waiting_streams().len() + second.waiting_streams().len();
    eventually("both new ones wait", || waiting() == 2).await;
    assert!(!second.waiting_streams().is_empty(), "the second process has one of them");
    moves.send_up_to(4);
    wait_for(60).await;
    moves.succeeds_in_order_up_to(4).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_owns_no_old_partition_hears_within_seconds_that_they_have_passed() {
    let world = World::with_partitions(1);
    let (stays, moved) = (moving(1, 2, (0, 0)), moving(1, 2, (0, 1)));
    let slow = Latch::new();
    let handler = Scripted::new({
        let (slow, first) = (slow.clone(), format!("{stays}1"));
        move |text, _| if text == first { Act::wait(&slow) } else { Act::Succeed }
    });
    send(&world, &stays, 1..=1);
    let first = start(&world, &handler);
    eventually("it runs", || 1 == handler.runs.times(&format!("{stays}1"))).await;
    world.broker.add_partitions(TOPIC, 2).unwrap();
    let second = start(&world, &handler);
    until_it_waits(&second, &world.stream(1), "orders/0 is to be settled").await;
    send(&world, &moved, 1..=1);
    slow.open();
    let began = tokio::time::Instant::now();
    world.until_done(&handler.runs).await;
    // Nothing is gated, so that the first process has no reason of its own to say how far it is.
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
    first.stop().await;
    second.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_restart_while_they_wait_changes_nothing() {
    let moves = Moves::new((2, 4), (1, 3), 2);
    let running = moves.start();
    moves.add_partitions_once_it_is_gated().await;
    moves.send_up_to(3);
    until_it_waits(&running, &moves.world.stream(3), "not resolved").await;
    running.crash().await;
    let running = moves.start();
    until_it_waits(&running, &moves.world.stream(3), "not resolved").await;
    running.stop().await;
    assert!(!moves.handler.runs.has(&format!("{}3", moves.entity)));
    let running = moves.start();
    wait_for(60).await;
    moves.succeeds_in_order_up_to(3).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_waits_can_be_taken_away_and_shut_down() {
    let moves = Moves::new((1, 2), (0, 1), 1);
    let (first, new) = (moves.start(), moves.world.stream(1));
    moves.add_partitions_once_it_is_gated().await;
    until_it_waits(&first, &new, "not resolved").await;
    let second = moves.start();
    until_it_waits(&second, &new, "not resolved").await;
    assert!(first.waiting_streams().is_empty(), "it is the second one's now");
    second.stop().await;
    first.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_partition_that_is_empty_is_not_waited_for() {
    let world = World::with_partitions(3);
    let entity = moving(3, 6, (0, 3));
    send(&world, &entity, 1..=1);
    let handler = Scripted::calm();
    let running = start(&world, &handler);
    world.until_done(&handler.runs).await;
    world.broker.add_partitions(TOPIC, 6).unwrap();
    send(&world, &entity, 2..=2);
    world.until_done(&handler.runs).await;
    assert_eq!(handler.runs.succeeded_of(&entity), texts(&entity, 1..=2));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_old_partition_whose_events_the_broker_keeps_no_longer_is_waited_for() {
    let world = World::with_partitions(1);
    let entity = moving(1, 2, (0, 1));
    let options =
        ordered_consumer::in_memory_broker::TopicOptions { drop_settled: true, ..Default::default() };
    world.broker.create_topic_with("kept-briefly", options).unwrap();
    let publish = |number: u32| {
        let event = NewEvent::new(entity.clone(), format!("{entity}{number}"));
        world.broker.publish_event("kept-briefly", event).unwrap()
    };
    publish(1);
    let mended = Latch::new();
    let handler = failing_until(&mended, format!("{entity}1"));
    let source = world.broker.subscribe(NAME, &["kept-briefly"]).unwrap();
    let running = Running::start(consumer(&world, &handler), source);
    world.until("it failed", &entity, |gate| gate.gate.held_events == 1).await;
    eventually("the broker has dropped it", || world.broker.kept("kept-briefly") == 0).await;
    world.broker.add_partitions("kept-briefly", 2).unwrap();
    publish(2);
    let stream = StreamName::new("kept-briefly/1").unwrap();
    until_it_waits(&running, &stream, "not resolved").await;
    mended.open();
    eventually("both are handled", || handler.runs.succeeded_of(&entity).len() == 2).await;
    assert_eq!(handler.runs.succeeded_of(&entity), texts(&entity, 1..=2));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn first_sight_admits_all_whoever_comes_first() {
    let world = World::with_partitions(12);
    let handler = Scripted::calm();
    let (one, other) = (start(&world, &handler), start(&world, &handler));
    for entity in ('a'..='z').map(String::from) {
        send(&world, &entity, 1..=1);
    }
    world.until_done(&handler.runs).await;
    let (name, layout) = (ConsumerName::new(NAME).unwrap(), StreamName::new(TOPIC).unwrap());
    let record = world.log.layout(&name, &layout, &LayoutStep::Look).await.unwrap();
    assert_eq!((record.admitted, record.waiting.len(), record.generation), (12, 0, 0));
    one.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn partitions_added_twice_are_admitted_one_change_after_the_other() {
    let world = World::with_partitions(1);
    // It moves twice: from 0 to 1, and from there to 3.
    let names = ('a'..='z').flat_map(|one| ('a'..='z').map(move |other| format!("{one}{other}")));
    let mut names = names.filter(|name| partition_of(name, 2) == 1 && partition_of(name, 4) == 3);
    let entity = names.next().unwrap();
    send(&world, &entity, 1..=1);
    let (first, second) = (Latch::new(), Latch::new());
    let handler = Scripted::new({
        let (first, second) = (first.clone(), second.clone());
        let (one, two) = (format!("{entity}1"), format!("{entity}2"));
        move |text, _| Act::succeed_if((text != one || first.is_open()) && (text != two || second.is_open()))
    });
    let running = start(&world, &handler);
    world.until("it failed", &entity, |gate| gate.gate.held_events == 1).await;
    world.broker.add_partitions(TOPIC, 2).unwrap();
    send(&world, &entity, 2..=2);
    until_it_waits(&running, &world.stream(1), "not resolved").await;
    world.broker.add_partitions(TOPIC, 4).unwrap();
    send(&world, &entity, 3..=3);
    until_it_waits(&running, &world.stream(3), "streams orders/1 to orders/1, which were added before it")
        .await;
    first.open();
    until_it_waits(&running, &world.stream(3), "orders/1 has events in the failure log").await;
    assert!(!handler.runs.has(&format!("{entity}3")));
    second.open();
    world.until_done(&handler.runs).await;
    assert_eq!(handler.runs.succeeded_of(&entity), texts(&entity, 1..=3));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn producers_have_time_to_notice() {
    let world = World::with_partitions(1);
    let (stays, moved) = (moving(1, 2, (0, 0)), moving(1, 2, (0, 1)));
    let mended = Latch::new();
    let handler = failing_until(&mended, format!("{moved}1"));
    let timeouts = Timeouts { producers_notice: Duration::from_secs(300), ..Timeouts::default() };
    let running = Running::start(world.consumer(&handler).with_timeouts(timeouts), world.source());
    send(&world, &stays, 1..=1);
    world.until_done(&handler.runs).await;
    world.broker.add_partitions(TOPIC, 2).unwrap();
    until_it_waits(&running, &world.stream(1), "producers may not have noticed").await;
    wait_for(200).await;
    // A producer that does not know yet still sends to the old partition; then it notices.
    let late = NewEvent::new(moved.clone(), format!("{moved}1"));
    world.broker.publish_to(TOPIC, 0, late).unwrap();
    send(&world, &moved, 2..=2);
    until_it_waits(&running, &world.stream(1), "up to index 1, that are not resolved").await;
    mended.open();
    world.until_done(&handler.runs).await;
    assert_eq!(handler.runs.succeeded_of(&moved), texts(&moved, 1..=2));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_waits_for_nothing_of_the_old_one() {
    let moves = Moves::new((1, 2), (0, 1), 1);
    let (world, entity, handler) = (&moves.world, &moves.entity, &moves.handler);
    let running = moves.start();
    moves.add_partitions_once_it_is_gated().await;
    until_it_waits(&running, &world.stream(1), "not resolved").await;
    world.broker.recreate_topic(TOPIC).unwrap();
    world.broker.publish(TOPIC, entity.clone(), "new").unwrap();
    eventually("the new topic's event is handled", || handler.runs.has("new")).await;
    eventually("the old stream has stopped", || !running.stopped_streams().is_empty()).await;
    let name = ConsumerName::new(NAME).unwrap();
    let (stream, decision) = (world.stream(0), StreamDecision::NewStream);
    world.log.decide_stream(&name, &stream, decision, "ann", "the topic was made anew").await.unwrap();
    running.stop().await;
    let layout = StreamName::new(TOPIC).unwrap();
    let record = world.log.layout(&name, &layout, &LayoutStep::Look).await.unwrap();
    assert_eq!((record.admitted, record.generation), (0, 2), "it begins anew, for whoever sees it next");
    let running = moves.start();
    let again = moving(2, 2, (0, 0));
    world.broker.publish(TOPIC, again, "also new").unwrap();
    eventually("the new stream is consumed", || handler.runs.has("also new")).await;
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_consumed_before_anything_was_recorded_is_passed() {
    // The group has settled everything with another failure log, or before there was one.
    let world = World::with_partitions(1);
    let (stays, moved) = (moving(1, 2, (0, 0)), moving(1, 2, (0, 1)));
    send(&world, &stays, 1..=3);
    let handler = Scripted::calm();
    let running = start(&world, &handler);
    world.until_done(&handler.runs).await;
    running.stop().await;
    let mut fresh = world;
    fresh.log = ordered_consumer::MemoryFailureLog::new();
    let name = ConsumerName::new(NAME).unwrap();
    let (layout, step) = (StreamName::new(TOPIC).unwrap(), LayoutStep::See { identity: None, streams: 1 });
    fresh.log.layout(&name, &layout, &step).await.unwrap();
    fresh.broker.add_partitions(TOPIC, 2).unwrap();
    let running = start(&fresh, &handler);
    send(&fresh, &moved, 1..=1);
    fresh.until_done(&handler.runs).await;
    running.stop().await;
}
